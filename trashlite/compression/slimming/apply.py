"""Surgery: the layers of a network with the channels that a plan keeps."""

import copy
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Protocol, cast, runtime_checkable

import torch
from timm.layers.mixed_conv2d import MixedConv2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trashlite.compression.slimming.plan import ChannelPlan, Kept
from trashlite.errors import UserError


@runtime_checkable
class Router(Protocol):
    """A module that takes channels apart and puts them together by numbers of its own, and can set them anew."""

    in_chs: int
    out_chs: int

    def keep_channels(self, inputs: Tensor, outputs: Tensor) -> None:
        """Keep these positions, rising; raise ValueError where they do not go together."""


ROUTERS = (Router, MixedConv2d)


def apply_channel_plan(model: nn.Module, plan: ChannelPlan) -> nn.Module:
    """A copy of the model without the channels and residual branches that the plan drops, weights included.

    Raises:
        UserError: the plan does not fit the model.
    """
    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    for name in plan.dropped:
        if not is_residual(modules.get(name)):
            raise UserError(f"channel plan: {name!r} is no residual block of this network, and cannot be dropped")
        model.set_submodule(name, nn.Identity())
    for name, kept in plan.layers.items():
        module = modules.get(name)
        widths = channel_counts(module)
        if module is None or widths is None:
            raise UserError(f"channel plan: this network has no layer {name!r} with channels")
        for side, width, positions in zip(("inputs", "outputs"), widths, (kept.inputs, kept.outputs), strict=True):
            if positions and positions[-1] >= width:
                raise UserError(f"channel plan: {name!r} has {width} {side}, there is no number {positions[-1]}")
        try:
            narrow(module, kept)
        except (RuntimeError, IndexError, ValueError) as error:
            raise UserError(f"channel plan: {name!r} cannot keep these channels: {error}") from error
    return model


def is_residual(module: nn.Module | None) -> bool:
    """Whether a block adds its input to what it makes of it, and so can go as a whole (blocks of timm say so)."""
    return module is not None and getattr(module, "has_skip", False) is True


def channel_counts(module: nn.Module | None) -> tuple[int, int] | None:
    """Inputs and outputs of a module whose channels can be dropped; None for any other."""
    match module:
        case nn.Conv2d() | MixedConv2d():
            return module.in_channels, module.out_channels
        case nn.Linear():
            return module.in_features, module.out_features
        case _BatchNorm():
            return module.num_features, module.num_features
        case Router():
            return module.in_chs, module.out_chs
    return None


@torch.no_grad()
def narrow(module: nn.Module, kept: Kept) -> None:
    """Keep some channels of a layer, in place; what it computes of them stays the same."""
    match module:
        case Router():
            inputs, outputs = _positions(kept.inputs, module.in_chs), _positions(kept.outputs, module.out_chs)
            module.keep_channels(torch.tensor(inputs), torch.tensor(outputs))
        case MixedConv2d():  # its convolutions have plans of their own
            places, ends = _positions(kept.inputs, module.in_channels), accumulate(module.splits, initial=0)
            module.splits = [sum(start <= place < end for place in places) for start, end in pairwise(ends)]
            module.in_channels, module.out_channels = len(places), len(_positions(kept.outputs, module.out_channels))
        case _BatchNorm():
            for name in ("weight", "bias", "running_mean", "running_var"):
                _take(module, name, kept.outputs)
            module.num_features = len(cast(Tensor, module.running_mean))
        case nn.Linear():
            _take(module, "weight", kept.outputs)
            _take(module, "weight", kept.inputs, axis=1)
            _take(module, "bias", kept.outputs)
            module.out_features, module.in_features = module.weight.shape
        case nn.Conv2d():
            _narrow_convolution(module, kept)


def _positions(kept: Sequence[int] | None, width: int) -> list[int]:
    return list(range(width)) if kept is None else list(kept)


def _take(module: nn.Module, name: str, kept: Sequence[int] | None, axis: int = 0) -> None:
    value = getattr(module, name)
    if value is None or kept is None:
        return
    part = value.index_select(axis, torch.tensor(kept, device=value.device)).clone()
    setattr(module, name, nn.Parameter(part, value.requires_grad) if isinstance(value, nn.Parameter) else part)


def _narrow_convolution(layer: nn.Conv2d, kept: Kept) -> None:
    """Groups are kept or dropped as a whole, or each keeps the same of its channels."""
    each = layer.in_channels // layer.groups
    inputs = torch.tensor(_positions(kept.inputs, layer.in_channels))
    within = inputs % each
    groups = (inputs // each).unique()
    first = within[inputs // each == groups[0]]
    if not torch.equal(inputs, (groups[:, None] * each + first).flatten()):
        raise ValueError("each group has to keep the same")
    _take(layer, "weight", kept.outputs)
    _take(layer, "weight", first.tolist(), axis=1)
    _take(layer, "bias", kept.outputs)
    layer.out_channels, layer.in_channels, layer.groups = len(layer.weight), len(inputs), len(groups)
    if layer.out_channels % layer.groups:
        raise ValueError(f"{layer.out_channels} outputs are no multiple of {layer.groups} groups")


def kept_part(values: Tensor, keep: Tensor) -> tuple[int, ...] | None:
    """Positions of `values` (classes) that are kept; None for all of them."""
    positions = keep[values].nonzero().flatten().tolist()
    return None if len(positions) == len(values) else tuple(positions)
