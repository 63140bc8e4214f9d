"""Ranks of one layer from its weight alone, without looking at the rest of the model."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trashlite.compression.low_rank.factorise import full_ranks, split_weight, unfold_inputs, whiten
from trashlite.compression.low_rank.layers import Kind
from trashlite.errors import UserError

Ranks = tuple[int, ...]


def ratio_ranks(weight: Tensor, kind: Kind, ratio: float | Mapping[str, float]) -> Ranks:
    """The same share of every full rank; `ratio` may name a share for each kind."""
    if isinstance(ratio, Mapping):
        if kind not in ratio:
            raise UserError(f"low rank: ratio has no share for kind {kind!r}, only for {', '.join(ratio)}")
        ratio = ratio[kind]
    return tuple(round(ratio * rank) for rank in full_ranks(weight.shape, kind))


def energy_ranks(weight: Tensor, kind: Kind, moments: Tensor | None, energy: float) -> Ranks:
    """The fewest ranks that keep a share of the squared singular values, of all groups together."""
    white, _ = whiten(split_weight(weight, kind), moments)
    matrices = [unfold_inputs(white)] + ([white.flatten(2)] if kind == "tucker" else [])  # that each rank cuts
    ranks = []
    for matrix in matrices:
        squared = torch.linalg.svdvals(matrix).square().sum(0)
        kept = squared.cumsum(0) / squared.sum()
        ranks.append(int((kept < energy - 1e-12).sum()) + 1)
    return tuple(ranks)


def round_ranks(ranks: Ranks, weight: Tensor, kind: Kind, multiple: int, min_rank: int) -> Ranks:
    """To the nearest multiple, at least `min_rank`, at most the full rank; tucker's two must suit each other."""
    floor = -(-max(min_rank, 1) // multiple) * multiple
    limits = full_ranks(weight.shape, kind)
    rounded = [
        min(max(round(rank / multiple) * multiple, floor), limit) for rank, limit in zip(ranks, limits, strict=True)
    ]
    if kind == "tucker":  # more outputs than the core's inputs can fill, or the reverse, would be wasted
        places = weight.shape[3] * weight.shape[4]
        rounded[1] = min(rounded[1], rounded[0] * places)
        rounded[0] = min(rounded[0], rounded[1] * places)
    return tuple(rounded)
