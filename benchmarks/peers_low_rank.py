"""Peers of low-rank decomposition at the same MACs: fewer channels, from scratch or by pruning."""

import copy
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest.mock import patch

import timm
import torch
from timm.models import efficientnet, mobilenetv3
from timm.models._efficientnet_builder import round_channels
from torch import Tensor, nn

from trashlite.backbones import block_net, create_backbone, shufflenetv2
from trashlite.compression.layer_costs import measure_layers
from trashlite.errors import UserError

SEARCH_STEPS = 12
# Peers lose whole channels at a time: a hair over the target is better for them than a channel less.
TOLERANCE = 1.01


def total_macs(model: nn.Module, image: Tensor) -> int:
    """MACs of convolutions and linear layers for one image: what the rank plans count, too."""
    return sum(cost.macs for cost in measure_layers(model, image).values())


def search(macs_of: Callable[[float], int], target: float) -> float:
    """The largest setting in 0..1 with MACs within the target, by bisection.

    Args:
        macs_of: MACs by setting, not falling; it may raise UserError where a setting cannot be built.

    Raises:
        UserError: no setting was found.
    """
    low, high, best = 0.0, 1.0, None
    least, obstacle = float("inf"), None
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        try:
            macs = macs_of(middle)
        except UserError as error:  # too small to build: the answer lies higher
            low, obstacle = middle, error
            continue
        least = min(least, macs)
        if macs <= target:
            low = best = middle
        else:
            high = middle
    if best is None:
        if obstacle and least == float("inf"):
            raise obstacle
        raise UserError(f"cannot reach {target / 1e6:.2f} M MACs: down to {least / 1e6:.2f} M at best")
    return best


def narrow(backbone: Mapping[str, Any], num_classes: int, image: Tensor, target: float) -> tuple[nn.Module, str]:
    """An untrained model of the same family with fewer channels, and its width relative to the checkpoint's.

    Widths are scaled as the family itself does it, but to whole channels instead of multiples of 8, so that it comes
    near the target. What the family does not scale (some heads) stays.

    Raises:
        UserError: no width multiplier is known for this backbone, or none reaches the target.
    """
    build = partial(_scaled, backbone, num_classes)
    width = search(lambda width: total_macs(build(width), image), target * TOLERANCE)
    return build(width), f"width {width:.3f}"


def _scaled(backbone: Mapping[str, Any], num_classes: int, width: float) -> nn.Module:
    name, kwargs = backbone["name"], dict(backbone["kwargs"])
    family = sys.modules[timm.model_entrypoint(name).__module__]
    if family is shufflenetv2:
        kwargs["channel_multiplier"] = width * kwargs.get("channel_multiplier", 1.0)
        return create_backbone(name, num_classes, kwargs=kwargs)
    if family not in (block_net, efficientnet, mobilenetv3):
        raise UserError(f"no width multiplier is known for {name}")

    def scaled(channels: float, multiplier: float | None = None, divisor: int = 8, *args: Any, **kwargs: Any) -> int:
        if multiplier is None:  # rounds what is scaled already, such as the width of squeeze-excite
            return round_channels(channels, 1.0, divisor, *args, **kwargs)
        return max(round(channels * multiplier * width), 1)

    try:
        with patch.object(family, "round_channels", scaled):
            return create_backbone(name, num_classes, kwargs=kwargs)
    except (ZeroDivisionError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} cannot be built at width {width:.4f}: {error!r}") from error


def prune(
    model: nn.Module,
    image: Tensor,
    target: float,
    *,
    everywhere_alike: bool = False,
    loss: Callable[[nn.Module], Tensor] | None = None,
) -> tuple[nn.Module, str]:
    """Channels removed by torch-pruning (Fang et al. 2023, arXiv:2301.12900): those with the smallest group norms.

    Args:
        everywhere_alike: the same share of each layer's channels; else the least of the whole network.
        loss: of a network; with it those go whose absence changes it least, to first order (Taylor importance,
            Molchanov et al. 2019, arXiv:1906.10771).

    Raises:
        UserError: torch-pruning is missing, cannot follow the network, or cannot reach the target.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError("torch-pruning is missing: pip install -r requirements-bench.txt") from error
    importance = torch_pruning.importance
    name_of_output = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]

    def build(kept: float) -> nn.Module:
        pruned = copy.deepcopy(model).requires_grad_(True)
        if loss is not None:
            loss(pruned).backward()
        try:
            torch_pruning.pruner.BasePruner(
                pruned,
                image,
                importance.GroupMagnitudeImportance(p=2) if loss is None else importance.GroupTaylorImportance(),
                global_pruning=not everywhere_alike,
                pruning_ratio=1 - kept,
                max_pruning_ratio=0.95,  # a layer without channels would cut the network in two
                ignored_layers=[pruned.get_submodule(name_of_output)],
            ).step()
            with torch.no_grad():
                same = pruned.eval()(image).shape == model(image).shape
        except Exception as error:  # whatever its tracing meets in a network it does not know
            raise UserError(f"torch-pruning cannot prune this network: {error!r}") from error
        if not same:
            raise UserError(f"torch-pruning pruned the classes: {name_of_output} is not the output layer")
        return pruned

    kept = search(lambda kept: total_macs(build(kept), image), target * TOLERANCE)
    return build(kept), f"keeps {kept:.3f} of channels"
