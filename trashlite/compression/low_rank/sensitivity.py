"""Sensitivity: the rise of the loss when one layer alone is factorised."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from trashlite.compression.evaluating import evaluating
from trashlite.compression.low_rank.candidates import Candidate
from trashlite.compression.low_rank.chain import build_chain
from trashlite.compression.low_rank.factorise import factorise
from trashlite.compression.low_rank.layers import Layer, grouped_weight
from trashlite.errors import UserError

LossFunction = Callable[[Tensor, Tensor], Tensor]


def measure_sensitivity(
    model: nn.Module,
    candidates: Mapping[str, list[Candidate]],
    costs: Mapping[str, int],
    moments: Mapping[str, Tensor | None],
    calibration: Iterable[tuple[Tensor, Tensor]],
    loss: LossFunction,
) -> dict[str, list[float]]:
    """Rise of the mean loss that each candidate would cause by itself, in the order of the candidates.

    Each layer is tried twice, at the candidate nearest to half its MACs and at the cheapest: a layer that half its MACs
    serve well may be nothing with one rank. Between dense, these two and beyond, the rise is taken as linear in the
    squared relative error, which holds to second order at a minimum of the loss. A rise for a unit of error below a
    hundredth of the median (noise may even make it fall) counts as that.

    Args:
        candidates: of each layer, from `list_candidates`; layers without any are left out of the result.
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
        tried: dict[str, list[tuple[float, float]]] = {}
        for name, options in candidates.items():
            if not options:
                continue
            layer = cast(Layer, model.get_submodule(name))
            tried[name] = []
            half, cheapest = _nearest(options, costs[name] / 2), min(options, key=lambda option: option.macs)
            for option in dict.fromkeys((half, cheapest)):
                factors = factorise(grouped_weight(layer), option.kind, option.ranks, moments[name])
                model.set_submodule(name, build_chain(layer, option.kind, factors))
                tried[name].append((option.loss, _mean_loss(model, batches, loss) - dense))
            model.set_submodule(name, layer)
    slopes = [rise / max(error, 1e-12) for [(error, rise), *_] in tried.values()]
    least = torch.tensor([slope for slope in slopes if slope > 0] or [1.0]).median().item() / 100
    return {name: _rises(candidates[name], points, least) for name, points in tried.items()}


def _rises(options: list[Candidate], points: list[tuple[float, float]], least_slope: float) -> list[float]:
    """Loss rises along the line through the origin and the (error, rise) points, which is made to rise throughout."""
    errors, rises = [0.0], [0.0]
    for error, rise in sorted(points):
        if error > errors[-1]:
            rises.append(max(rise, rises[-1] + least_slope * (error - errors[-1])))
            errors.append(error)
    found = np.interp([option.loss for option in options], errors, rises)
    slope = rises[-1] / errors[-1] if errors[-1] else least_slope
    beyond = [max(option.loss - errors[-1], 0.0) * slope for option in options]
    return (found + beyond).tolist()


def _nearest(options: list[Candidate], macs: float) -> Candidate:
    return min(options, key=lambda option: abs(option.macs - macs))


def _mean_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]], loss: LossFunction) -> float:
    total = sum(float(loss(model(images), targets)) * len(images) for images, targets in batches)
    return total / sum(len(images) for images, _ in batches)
