"""Put the chains of a plan in the place of the dense layers."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trashlite.compression.low_rank.chain import build_chain
from trashlite.compression.low_rank.factorise import factor_shapes, factorise
from trashlite.compression.low_rank.layers import Layer, finite_weight, grouped_shape
from trashlite.compression.low_rank.plan import RankPlan, check_layer
from trashlite.errors import UserError


def apply_plan(
    model: nn.Module, plan: RankPlan, moments: Mapping[str, Tensor] | None = None, initialise: bool = True
) -> nn.Module:
    """A copy of the model with each layer of the plan replaced by an nn.Sequential of plain layers.

    A name may lie inside an earlier replacement (`conv.0`), so plans stack: `plan.then(other)` rebuilds both.

    Args:
        moments: from `collect_moments`: the factors then approximate each layer's output; without, its weight.
        initialise: False leaves all factors zero, for a `load_state_dict` to fill: only shapes are used, and fast.

    Raises:
        UserError: a layer is missing, of another type, too small for its ranks, or holds NaN.
    """
    model = copy.deepcopy(model)
    for name, entry in plan.layers.items():
        layer = _find(model, name)
        check_layer(name, layer, entry)
        if initialise:
            known = (moments or {}).get(name)
            factors = factorise(finite_weight(name, layer), entry.kind, entry.ranks, known)
        else:
            factors = [torch.zeros(shape) for shape in factor_shapes(grouped_shape(layer), entry.kind, entry.ranks)]
        chain = build_chain(layer, entry.kind, factors)
        if name:
            model.set_submodule(name, chain)
        else:
            model = chain
    return model


def _find(model: nn.Module, name: str) -> Layer:
    layers = {n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, Layer)}
    if name not in layers:
        raise UserError(f"rank plan: the model has no layer {name!r}; its layers are {', '.join(layers)}")
    return layers[name]
