"""Layers that can be factorised, the ways to do it, and the reasons to leave others alone."""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal

import timm.layers
import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from trashlite.compression.evaluating import evaluating
from trashlite.compression.layer_costs import LayerCost
from trashlite.errors import UserError

Kind = Literal["svd", "tucker", "spatial"]
LayerType = Literal["linear", "pointwise", "depthwise", "conv"]
Layer = nn.Conv2d | nn.Linear
# timm's Linear differs from torch's under torch.jit.script only.
PLAIN = (nn.Conv2d, nn.Linear, Conv2dSame, timm.layers.Linear)

# The first kind is the one of the policies that know no error; `budget` and `sensitivity` weigh them all.
KINDS: dict[LayerType, tuple[Kind, ...]] = {
    "linear": ("svd",),
    "pointwise": ("svd",),
    "depthwise": ("spatial",),
    "conv": ("tucker", "spatial", "svd"),
}


def layer_type(layer: Layer) -> LayerType:
    """linear, pointwise (1×1, grouped or not), depthwise (one input channel a group), or conv (the rest)."""
    if isinstance(layer, nn.Linear):
        return "linear"
    if layer.kernel_size == (1, 1):
        return "pointwise"
    return "depthwise" if layer.in_channels == layer.groups > 1 else "conv"


def allowed_kinds(kinds: Mapping[str, Iterable[str] | str] | None) -> dict[LayerType, tuple[Kind, ...]]:
    """The kinds to consider for each layer type: `KINDS`, overridden by `kinds`; an empty list leaves that type alone.

    Raises:
        UserError: unknown layer type, or a kind that this layer type cannot have.
    """
    result = dict(KINDS)
    for name, wanted in (kinds or {}).items():
        if name not in KINDS:
            raise UserError(f"low rank: unknown layer type {name!r} in kinds; choose from {', '.join(KINDS)}")
        chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for kind in chosen:
            if kind not in KINDS[name]:
                raise UserError(f"low rank: {name} layers have no kind {kind!r}; choose from {', '.join(KINDS[name])}")
        result[name] = chosen  # type: ignore[assignment]
    return result


def grouped_shape(layer: Layer) -> tuple[int, int, int, int, int]:
    """(groups, out per group, in per group, kh, kw); a Linear is a 1×1 convolution."""
    if isinstance(layer, nn.Linear):
        return 1, layer.out_features, layer.in_features, 1, 1
    kh, kw = layer.kernel_size
    return layer.groups, layer.out_channels // layer.groups, layer.in_channels // layer.groups, kh, kw


def grouped_weight(layer: Layer) -> Tensor:
    """The weight as float64 of `grouped_shape`, see `double`."""
    return double(layer.weight.detach()).reshape(grouped_shape(layer))


def double(values: Tensor) -> Tensor:
    """The values as float64, on their device or, where it has no such numbers, on the CPU."""
    return (values if has_float64(values.device) else values.cpu()).double()


def has_float64(device: torch.device) -> bool:
    return device.type != "mps"


def finite_weight(name: str, layer: Layer) -> Tensor:
    """The grouped weight.

    Raises:
        UserError: it holds NaN or infinity.
    """
    weight = grouped_weight(layer)
    if not torch.isfinite(weight).all():
        raise UserError(f"low rank: the weight of {name!r} holds NaN or infinity: the checkpoint is broken")
    return weight


def patches(layer: Layer, x: Tensor) -> Tensor:
    """Input patch of each output position: (groups, in per group · kh · kw, positions), order as in the flat weight."""
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, layer.in_features).T[None]
    if isinstance(layer, Conv2dSame):
        x = pad_same(x, list(layer.kernel_size), list(layer.stride), list(layer.dilation))
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(x, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)
    return columns.unflatten(1, (layer.groups, -1)).permute(1, 2, 0, 3).flatten(2)


def find_layers(
    model: nn.Module, calls: Mapping[str, int], exclude: Iterable[str] = ()
) -> tuple[dict[str, Layer], dict[str, str]]:
    """Every nn.Conv2d and nn.Linear of a model, by name: those that can be factorised, and the rest with a reason.

    Args:
        calls: how often each layer ran in one forward pass.
        exclude: names or shell patterns (`blocks.0.*`) to leave alone.

    Raises:
        UserError: a weight holds NaN or infinity, or a pattern of `exclude` matches no layer.
    """
    named = [(n, m) for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, Layer)]
    uses = Counter(id(m) for _, m in named)
    owners = Counter(id(p) for m in {id(m): m for m in model.modules()}.values() for p in m._parameters.values())
    patterns = list(exclude)
    if unmatched := [p for p in patterns if not any(fnmatchcase(name, p) for name, _ in named)]:
        raise UserError(
            f"low rank: exclude={unmatched[0]!r} matches no layer; the layers are {', '.join(n for n, _ in named)}"
        )
    found: dict[str, Layer] = {}
    skipped: dict[str, str] = {}
    for name, layer in named:
        weight = layer._parameters.get("weight")
        if any(fnmatchcase(name, p) for p in patterns):
            skipped[name] = "left out by the user"
        elif type(layer) not in PLAIN:
            skipped[name] = f"{type(layer).__name__} is no plain layer: it may use its weight in its own way"
        elif weight is None:
            skipped[name] = "its weight is computed from other parameters"
        elif uses[id(layer)] > 1 or owners[id(weight)] > 1:
            skipped[name] = "its weight is shared with another layer"
        elif calls.get(name, 0) != 1:
            skipped[name] = f"called {calls.get(name, 0)} times in one forward pass"
        elif not finite_weight(name, layer).any():
            skipped[name] = "all its weights are zero"
        else:
            found[name] = layer
    return found, skipped


def factorisable(
    model: nn.Module, costs: Mapping[str, LayerCost], example_input: Tensor, exclude: Iterable[str] = ()
) -> tuple[dict[str, Layer], dict[str, str]]:
    """Layers as `find_layers` sorts them, less those whose weight or settings the network reads elsewhere too.

    Args:
        costs: of `measure_layers` with this model and input.
        example_input: images (N, C, H, W), on the model's device.

    Raises:
        UserError: as `find_layers`.
    """
    found, skipped = find_layers(model, {name: cost.calls for name, cost in costs.items()}, exclude)
    for name in read_outside(model, found, example_input):
        skipped[name] = "the network reads its weight or settings elsewhere too"
        del found[name]
    return found, skipped


def read_outside(model: nn.Module, names: Iterable[str], example_input: Tensor) -> list[str]:
    """Layers whose weight or settings are read elsewhere in the network: the chain in their place would not have them.

    Args:
        example_input: images (N, C, H, W), on the model's device.
    """
    twin = copy.deepcopy(model)
    layers = {name: twin.get_submodule(name) for name in names if name}

    def runs_without(names: Iterable[str]) -> bool:
        for name in names:
            twin.set_submodule(name, nn.Sequential(layers[name]))
        try:
            with evaluating(twin):
                twin(example_input)
        except AttributeError:
            return False
        finally:
            for name in names:
                twin.set_submodule(name, layers[name])
        return True

    return [] if runs_without(layers) else [name for name in layers if not runs_without([name])]
