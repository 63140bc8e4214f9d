"""Multiply-accumulates of a layer after factorisation."""

from math import prod

from trashlite.compression.layer_costs import LayerCost
from trashlite.compression.low_rank.layers import Kind, Layer, grouped_shape


def factorised_macs(layer: Layer, kind: Kind, ranks: tuple[int, ...], cost: LayerCost) -> int:
    """MACs of the chain that would replace `layer`; ranks are per group, in the order of the chain."""
    groups, c_out, c_in, kh, kw = grouped_shape(layer)
    in_area, out_area = prod(cost.in_size), prod(cost.out_size)
    if kind == "tucker":
        r_in, r_out = ranks
        return groups * (in_area * c_in * r_in + out_area * r_out * (r_in * kh * kw + c_out))
    (rank,) = ranks
    if kind == "svd":
        return groups * rank * out_area * (c_in * kh * kw + c_out)
    # between the two, the height is the output's and the width still the input's
    return groups * rank * (cost.out_size[0] * cost.in_size[1] * c_in * kh + out_area * c_out * kw)
