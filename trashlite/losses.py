"""Classification losses, built from plain settings. Pure torch.

Every loss takes logits (N, C) and targets that are either classes (N,) int64 or distributions over classes
(N, C), as mixup makes them, and returns a scalar. Probabilities are computed in float32 at least, so that
float16 and bfloat16 logits are safe.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trashlite.errors import UserError

ClassWeights = str | Sequence[float] | None


def create_loss(config: Mapping[str, Any], class_counts: Sequence[int]) -> nn.Module:
    """Return the loss that `config` names: `{"name": "focal", "gamma": 2.0, "class_weights": None}`.

    `class_counts` are the training images of each class. Settings left out take their defaults.

    Raises UserError for an unknown name, an unknown or a missing setting, and a value out of range.
    """
    settings = {str(key): value for key, value in config.items()}
    name = settings.pop("name", None)
    if name not in LOSSES:
        raise UserError(f"There is no loss {name!r}. Choose loss.name from: {', '.join(LOSSES)}")
    parameters = dict(inspect.signature(LOSSES[name]).parameters)
    del parameters["class_counts"]
    if unknown := settings.keys() - parameters:
        raise UserError(f"Loss {name} has no setting {', '.join(sorted(unknown))}. It has: {', '.join(parameters)}")
    required = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    if missing := required - settings.keys():
        raise UserError(f"Loss {name} needs the setting {', '.join(sorted(missing))}")
    return LOSSES[name](class_counts, **settings)


class ClassWeightedLoss(nn.Module):
    """Base of the losses of single terms: class weights, and one form for hard and soft targets.

    `class_weights` is None (all 1), "balanced" (n / (C * count), 0 for a class without images) or C numbers.
    """

    class_weights: Tensor

    def __init__(self, class_counts: Sequence[int], class_weights: ClassWeights = None) -> None:
        super().__init__()
        weights = torch.tensor(_class_weights(class_weights, class_counts))
        # Derived from the settings: a checkpoint has to load where the class counts are not known.
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of logits (N, C) and targets (N,) int64 or (N, C)."""
        dtype = torch.promote_types(logits.dtype, torch.float32)
        if target.ndim == 1:
            target = F.one_hot(target, logits.shape[1])
        return self.compute(logits.to(dtype), target.to(dtype))

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of logits (N, C) and distributions (N, C), both float32 or wider."""
        raise NotImplementedError

    def weighted_mean(self, losses: Tensor, target: Tensor) -> Tensor:
        """Return the mean over images of losses (N, C), weighted by class as `F.cross_entropy` does it."""
        return (self.class_weights * losses).sum() / self.total_weight(target)

    def total_weight(self, target: Tensor) -> Tensor:
        total = (self.class_weights * target).sum()
        return torch.where(total > 0, total, 1)


class CrossEntropy(ClassWeightedLoss):
    """Cross entropy with label smoothing: equals `F.cross_entropy(weight=, label_smoothing=)` on classes.

    Distributions are normalised by class weight as classes are; `F.cross_entropy` divides them by N instead.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
    ) -> None:
        super().__init__(class_counts, class_weights)
        self.label_smoothing = _number("label_smoothing", label_smoothing, maximum=1.0)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        weights, smoothing = self.class_weights.to(logits.dtype), self.label_smoothing
        loss = F.cross_entropy(logits, target, weights, reduction="sum", label_smoothing=smoothing)
        return loss / self.total_weight(target)


class Focal(ClassWeightedLoss):
    """Focal loss `-(1 - p)^gamma log p` of the target class (Lin et al. 2017); gamma 0 is cross entropy."""

    def __init__(self, class_counts: Sequence[int], gamma: float = 2.0, class_weights: ClassWeights = None) -> None:
        super().__init__(class_counts, class_weights)
        self.gamma = _number("gamma", gamma)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        # expm1 keeps 1 - p exact near p = 1; the clamp keeps the power's slope finite there for gamma < 1.
        rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).eps ** 2)
        return self.weighted_mean(-target * rest**self.gamma * log_p, target)


class LogitAdjusted(ClassWeightedLoss):
    """Cross entropy of `logits + tau * log(prior)`, priors from the class counts (Menon et al. 2021).

    Trains plain logits towards the balanced error, so nothing is added when predicting. A class without
    images gets the prior of a class with one, because log(0) has no gradient.
    """

    log_prior: Tensor

    def __init__(self, class_counts: Sequence[int], tau: float = 1.0, class_weights: ClassWeights = None) -> None:
        super().__init__(class_counts, class_weights)
        self.tau = _number("tau", tau)
        counts = torch.tensor(class_counts, dtype=torch.float32).clamp_min(1)
        self.register_buffer("log_prior", (counts / counts.sum()).log(), persistent=False)

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        adjusted, weights = logits + self.tau * self.log_prior, self.class_weights.to(logits.dtype)
        return F.cross_entropy(adjusted, target, weights, reduction="sum") / self.total_weight(target)


class SoftF1(ClassWeightedLoss):
    """One minus the macro F1 of the batch, with softmax probabilities in place of counts; in 0..1.

    The mean is over the classes that the batch's targets hold: another class has no true positives to gain,
    and would only add a constant. Class weights weight that mean.
    """

    def compute(self, logits: Tensor, target: Tensor) -> Tensor:
        p = logits.softmax(dim=1)
        support = target.sum(dim=0)
        f1 = 2 * (p * target).sum(dim=0) / torch.where(support > 0, p.sum(dim=0) + support, 1)
        weights = self.class_weights * (support > 0)
        return (weights * (1 - f1)).sum() / torch.where(weights.sum() > 0, weights.sum(), 1)


class WeightedSum(nn.Module):
    """Sum of losses times their weights; each term is a loss's settings with a `weight` (default 1) added."""

    def __init__(self, class_counts: Sequence[int], terms: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        if not isinstance(terms, Sequence) or not terms or not all(isinstance(t, Mapping) for t in terms):
            raise UserError(f"terms={terms!r} must list at least one loss: [{{name: cross_entropy, weight: 1.0}}]")
        self.weights = [
            _number(f"terms.{position}.weight", term.get("weight", 1.0)) for position, term in enumerate(terms)
        ]
        self.terms = nn.ModuleList(
            create_loss({key: value for key, value in term.items() if key != "weight"}, class_counts) for term in terms
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of logits (N, C) and targets (N,) int64 or (N, C)."""
        losses = [weight * term(logits, target) for weight, term in zip(self.weights, self.terms, strict=True)]
        return torch.stack(losses).sum()


LOSSES: dict[str, type[nn.Module]] = {
    "cross_entropy": CrossEntropy,
    "focal": Focal,
    "logit_adjusted": LogitAdjusted,
    "soft_f1": SoftF1,
    "sum": WeightedSum,
}


def _class_weights(class_weights: ClassWeights, class_counts: Sequence[int]) -> list[float]:
    num_classes = len(class_counts)
    if class_weights is None:
        return [1.0] * num_classes
    if class_weights == "balanced":
        images = sum(class_counts)
        return [images / (num_classes * count) if count else 0.0 for count in class_counts]
    if isinstance(class_weights, str) or not isinstance(class_weights, Sequence):
        raise UserError(f"class_weights={class_weights!r} is none of: null, balanced, a list of {num_classes} numbers")
    if len(class_weights) != num_classes:
        raise UserError(
            f"class_weights has {len(class_weights)} numbers, but there are {num_classes} classes. "
            f"Give {num_classes} numbers, balanced, or null"
        )
    weights = [_number("class_weights", weight) for weight in class_weights]
    if not any(weights):
        raise UserError("class_weights are all 0, so nothing would be learnt. Give at least one above 0")
    return weights


def _number(setting: str, value: Any, maximum: float = math.inf) -> float:
    """Return a setting as a finite float in 0..maximum, or raise UserError naming it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{setting}={value!r} is not a finite number")
    if not 0 <= value <= maximum:
        allowed = "at least 0" if maximum == math.inf else f"in 0..{maximum:g}"
        raise UserError(f"{setting}={value!r} must be {allowed}")
    return float(value)
