"""Learn from a trained network as well as from the labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errors import UserError
from lightning_modules.classifier import Batch, TrashClassifier


class Distiller(TrashClassifier):
    """A TrashClassifier that also imitates a teacher, which sees the same augmented images.

    Loss = alpha · hard + (1 - alpha) · T² · KL(teacher ‖ student) + feature_weight · features, where the softmaxes of
    the KL are taken at temperature T (Hinton et al. 2015, arXiv:1503.02531). It differs only in training: validation
    has the hard loss alone, and its checkpoints load as a TrashClassifier, without the teacher.

    Args:
        teacher: checkpoint of a TrashClassifier with the same classes.
        temperature: T, above 0.
        alpha: share of the hard labels' loss, in [0, 1].
        feature_weight: of `feature_loss` between what the two classifying layers see; 0: none.
        **settings: of TrashClassifier.

    Raises:
        UserError: a setting is out of range; when fitting: no teacher, or one that does not match.
    """

    def __init__(
        self,
        teacher: str | None = None,
        temperature: float = 4.0,
        alpha: float = 0.5,
        feature_weight: float = 0.0,
        **settings: Any,
    ) -> None:
        if not temperature > 0 or not 0 <= alpha <= 1 or not feature_weight >= 0:
            raise UserError(
                f"Distillation needs temperature above 0, alpha in 0..1 and feature_weight of at least 0, not "
                f"{temperature}, {alpha} and {feature_weight}."
            )
        super().__init__(**settings)
        # In a list, so that it is no submodule: it is neither saved nor averaged, optimized or set to train mode.
        self._teacher: list[nn.Module] = []

    def setup(self, stage: str) -> None:
        if stage == "fit" and not self._teacher:
            self._teacher.append(self.load_teacher())

    def load_teacher(self) -> nn.Module:
        """The frozen teacher, checked against this network's classes and normalisation."""
        from lightning_modules.checkpoint import read_checkpoint  # which imports the modules it can create

        path = self.hparams["teacher"]
        if not path:
            raise UserError("Distillation needs a trained model: lightning_module.teacher=PATH of its checkpoint.")
        hparams = read_checkpoint(path)["hyper_parameters"]
        for what, ours, theirs in (
            ("classes", self.class_names, hparams["class_names"]),
            *((key, self.preprocessing[key], hparams["preprocessing"][key]) for key in ("mean", "std")),
        ):
            if list(ours) != list(theirs):
                raise UserError(f"The teacher {path} has other {what}: {list(theirs)} instead of {list(ours)}.")
        teacher = TrashClassifier.load_from_checkpoint(path, map_location="cpu").model
        return teacher.requires_grad_(False).eval()

    def on_fit_start(self) -> None:
        self._teacher[0].to(self.device)

    def logits_and_loss(self, batch: Batch, stage: str) -> tuple[Tensor, Tensor]:
        if stage != "train":
            return super().logits_and_loss(batch, stage)
        teacher = self._teacher[0]
        with classifier_input(self.model) as features:
            logits, hard = super().logits_and_loss(batch, stage)
        with torch.no_grad(), classifier_input(teacher) as teacher_features:
            teacher_logits = teacher(batch["image"])
        alpha, feature_weight = self.hparams["alpha"], self.hparams["feature_weight"]
        soft = distillation_loss(logits, teacher_logits, self.hparams["temperature"])
        loss = alpha * hard + (1 - alpha) * soft
        parts = {"train/hard_loss": hard, "train/soft_loss": soft}
        if feature_weight:
            parts["train/feature_loss"] = feature_loss(features[0], teacher_features[0])
            loss = loss + feature_weight * parts["train/feature_loss"]
        self.log_dict(parts, on_step=False, on_epoch=True, batch_size=len(logits))
        return logits, loss


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of logits (N, C), a mean over the batch; T² keeps its gradients' size for any T."""
    student = F.log_softmax(logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def feature_loss(features: Tensor, teacher_features: Tensor) -> Tensor:
    """How far features (N, D) are from the teacher's (N, E).

    D = E: mean squared error, as a share of the teacher's mean square. Else the same of the matrices (N, N) of cosines
    between the batch's images, which needs no projection to be learnt (after Tung & Mori 2019, arXiv:1907.09682).
    """
    if features.shape != teacher_features.shape:
        features, teacher_features = (
            unit @ unit.mT for unit in (F.normalize(each, dim=1) for each in (features, teacher_features))
        )
    return F.mse_loss(features, teacher_features) / teacher_features.square().mean().clamp(min=1e-12)


@contextmanager
def classifier_input(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that gets what the classifying layer sees, (N, D), in each forward pass."""
    seen: list[Tensor] = []
    classifier: nn.Module = model.get_classifier()  # type: ignore[operator]
    handle = classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    try:
        yield seen
    finally:
        handle.remove()
