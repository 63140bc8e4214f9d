"""For one layer and one kind: every pair of ranks worth considering, with its MACs and its error."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trashlite.compression.layer_costs import LayerCost
from trashlite.compression.low_rank.factorise import (
    features,
    full_ranks,
    input_basis,
    output_energy,
    regress,
    split_weight,
)
from trashlite.compression.low_rank.layers import Kind, Layer, grouped_shape, grouped_weight
from trashlite.compression.low_rank.macs import factorised_macs

TUCKER_INPUT_RANKS = 16  # so many of them are tried, evenly spread; each with every output rank


@dataclass(frozen=True)
class Candidate:
    """Ranks, MACs of the chain for one image, and the squared relative error (an upper bound for tucker, where the
    iteration to come can only improve on its start)."""

    kind: Kind
    ranks: tuple[int, ...]
    macs: int
    loss: float


def responses(w: Tensor, moments: Tensor | None) -> Tensor:
    """Share of the output that each further row of the first factor adds: (g, R, q, O), orthogonal over R and q.

    Sums of squares over the first r rows are the output energy that the rank-r chain keeps.
    """
    first = input_basis(w, moments)
    if moments is None:
        return regress(w, first, None).permute(0, 2, 3, 1)
    cross, own = features(first, moments, w.shape[3])
    explained = torch.linalg.solve_triangular(torch.linalg.cholesky(own), (w.flatten(2) @ cross).mT, upper=False)
    return explained.unflatten(1, (-1, w.shape[3]))


def squared_errors(weight: Tensor, kind: Kind, moments: Tensor | None) -> dict[tuple[int, ...], float]:
    """Squared relative error for all ranks of a weight (g, O, c, kh, kw); for tucker on a grid of input ranks."""
    w = split_weight(weight, kind)
    parts = responses(w, moments)
    total = output_energy(w, moments)
    if kind != "tucker":
        kept = parts.square().sum((0, 2, 3)).cumsum(0) / total
        return {(rank,): _lost(share) for rank, share in enumerate(kept.tolist(), start=1)}
    r_in_max, r_out_max = full_ranks(weight.shape, kind)
    errors: dict[tuple[int, ...], float] = {}
    for r_in in np.unique(np.linspace(1, r_in_max, TUCKER_INPUT_RANKS).round().astype(int)).tolist():
        outputs = parts[:, :r_in].flatten(1, 2)
        spectrum = torch.linalg.eigvalsh(outputs.mT @ outputs).flip(-1).sum(0)
        kept = spectrum.cumsum(0) / total
        for r_out in range(1, min(r_out_max, r_in * w.shape[3]) + 1):
            errors[r_in, r_out] = _lost(float(kept[r_out - 1]))
    return errors


def _lost(share: float) -> float:
    return max(1 - share, 0.0)


def list_candidates(
    layer: Layer, cost: LayerCost, kinds: Iterable[Kind], moments: Tensor | None, multiple: int, min_rank: int
) -> list[Candidate]:
    """The candidates that no other beats in both MACs and error, cheapest first, all cheaper than the dense layer."""
    found = []
    weight = grouped_weight(layer)
    for kind in kinds:
        limits = full_ranks(grouped_shape(layer), kind)
        for ranks, loss in squared_errors(weight, kind, moments).items():
            macs = factorised_macs(layer, kind, ranks, cost)
            if macs < cost.macs and all(
                rank >= min(min_rank, limit) and (rank % multiple == 0 or rank == limit)
                for rank, limit in zip(ranks, limits, strict=True)
            ):
                found.append(Candidate(kind, ranks, macs, loss))
    front: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: (c.macs, c.loss)):
        if not front or candidate.loss < front[-1].loss:
            front.append(candidate)
    return front
