"""How much the loss rises when one layer alone is factorised."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from errors import UserError
from lightning_modules.low_rank.candidates import Candidate
from lightning_modules.low_rank.chain import build_chain
from lightning_modules.low_rank.factorise import factorise
from lightning_modules.low_rank.layers import Layer, grouped_weight
from lightning_modules.low_rank.macs import evaluating

LossFunction = Callable[[Tensor, Tensor], Tensor]


def measure_sensitivity(
    model: nn.Module,
    candidates: Mapping[str, list[Candidate]],
    costs: Mapping[str, int],
    moments: Mapping[str, Tensor | None],
    calibration: Iterable[tuple[Tensor, Tensor]],
    loss: LossFunction,
) -> dict[str, float]:
    """Rise of the mean loss for each unit of a layer's squared relative error.

    Each layer is tried once, at the candidate nearest to half its MACs; elsewhere the rise is taken as proportional
    to the squared error, which holds to second order at a minimum of the loss. A rise below a hundredth of the
    median (noise may even make it fall) counts as that.

    Args:
        candidates: of each layer, from `list_candidates`.
        costs: MACs of the dense layers.
        calibration: (images, targets), on the model's device.

    Raises:
        UserError: no calibration data, or the dense model's loss on it is not finite.
    """
    batches = list(calibration)
    if not batches:
        raise UserError("low rank: policy=sensitivity needs calibration=(images, targets) batches")
    model = copy.deepcopy(model)
    with evaluating(model):
        dense = _mean_loss(model, batches, loss)
        if not torch.isfinite(torch.tensor(dense)):
            raise UserError(f"low rank: the dense model's loss on the calibration images is {dense}")
        rises = {}
        for name, options in candidates.items():
            if not options:
                continue
            half = _nearest(options, costs[name] / 2)
            layer = cast(Layer, model.get_submodule(name))
            factors = factorise(grouped_weight(layer), half.kind, half.ranks, moments[name])
            model.set_submodule(name, build_chain(layer, half.kind, factors))
            rises[name] = (_mean_loss(model, batches, loss) - dense) / max(half.loss, 1e-12)
            model.set_submodule(name, layer)
    least = torch.tensor([rise for rise in rises.values() if rise > 0] or [1.0]).median().item() / 100
    return {name: max(rise, least) for name, rise in rises.items()}


def _nearest(options: list[Candidate], macs: float) -> Candidate:
    return min(options, key=lambda option: abs(option.macs - macs))


def _mean_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]], loss: LossFunction) -> float:
    total = sum(float(loss(model(images), targets)) * len(images) for images, targets in batches)
    return total / sum(len(images) for images, _ in batches)
