"""A dense weight as a product of small ones, so that the layer's weight, or better its output, changes least.

Every weight is `W` (g, O, m, q): group, output, and the patch an output sees, split in two. The first factor maps the
m side to r channels, alike for each of the q places; the second is free. With m × q =

- svd:     (c·kh·kw) × 1,      k×k convolution to r channels, then 1×1
- spatial: (c·kh) × kw,        k×1, then 1×k (Jaderberg et al. 2014, arXiv:1405.3866)
- tucker:  c × (kh·kw),        1×1, k×k core, 1×1 (Kim et al. 2016, arXiv:1511.06530)

Without moments the error is ‖W − W'‖. With the second moments S of the patches it is the error of the outputs,
E‖(W − W')x‖² = tr((W − W') S (W − W')ᵀ). What is exact then: svd, by whitening with a Cholesky factor of S. In the
others the first factor is chosen by the moments of the m side averaged over the q places (an approximation: it forgets
how the places correlate), and what follows is the exact least-squares answer to that first factor under the full S.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trashlite.compression.low_rank.layers import Kind


class Tucker(NamedTuple):
    """Factors (g, r_in, m), (g, r_out, r_in, q), (g, O, r_out) and the squared relative error after each sweep."""

    first: Tensor
    core: Tensor
    last: Tensor
    errors: list[float]


def split_weight(weight: Tensor, kind: Kind) -> Tensor:
    """(g, O, c, kh, kw) seen as (g, O, m, q)."""
    g, o, c, kh, kw = weight.shape
    m = {"svd": c * kh * kw, "spatial": c * kh, "tucker": c}[kind]
    return weight.reshape(g, o, m, -1)


def full_ranks(shape: Sequence[int], kind: Kind) -> tuple[int, ...]:
    """The ranks at which nothing is lost, in the order of the chain, for a weight of shape (g, O, c, kh, kw)."""
    _, o, c, kh, kw = shape
    if kind == "tucker":
        return min(c, o * kh * kw), min(o, c * kh * kw)
    return (min(o, c * kh * kw),) if kind == "svd" else (min(c * kh, o * kw),)


def factor_shapes(shape: Sequence[int], kind: Kind, ranks: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Shapes of the chain's convolution weights for a dense weight of shape (g, O, c, kh, kw)."""
    g, o, c, kh, kw = shape
    first, last = ranks[0], ranks[-1]
    match kind:
        case "svd":
            return [(g * first, c, kh, kw), (g * o, first, 1, 1)]
        case "spatial":
            return [(g * first, c, kh, 1), (g * o, first, 1, kw)]
        case "tucker":
            return [(g * first, c, 1, 1), (g * last, first, kh, kw), (g * o, last, 1, 1)]


def whiten(w: Tensor, moments: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weight for inputs made white on the m side, and the Cholesky factor L (g, m, m) of their moments."""
    if moments is None:
        return w, None
    q = w.shape[3]
    sides = moments.unflatten(1, (-1, q)).unflatten(3, (-1, q))
    factor = torch.linalg.cholesky(sides.diagonal(dim1=2, dim2=4).mean(-1))
    return torch.einsum("gnm,gonq->gomq", factor, w), factor


def unfold_inputs(w: Tensor) -> Tensor:
    """(g, O, m, q) to (g, m, O·q)."""
    return w.transpose(1, 2).flatten(2)


def leading(matrix: Tensor, rank: int) -> Tensor:
    """The `rank` leading left singular vectors of (g, n, k), as columns."""
    return torch.linalg.eigh(matrix @ matrix.mT).eigenvectors.flip(-1)[..., :rank]


def features(first: Tensor, moments: Tensor, q: int) -> tuple[Tensor, Tensor]:
    """Moments of what the first factor (g, r, m) puts out: with the patch (g, m·q, r·q), with itself (g, r·q, r·q)."""
    cross = torch.einsum("gpnk,grn->gprk", moments.unflatten(2, (-1, q)), first)
    own = torch.einsum("grm,gmjsk->grjsk", first, cross.unflatten(1, (-1, q)))
    return cross.flatten(2), own.flatten(3).flatten(1, 2)


def regress(w: Tensor, first: Tensor, moments: Tensor | None) -> Tensor:
    """The best second factor (g, O, r, q) for a first one: rows orthonormal without, independent with moments."""
    if moments is None:
        return torch.einsum("gomq,grm->gorq", w, first)
    cross, own = features(first, moments, w.shape[3])
    second = torch.cholesky_solve((w.flatten(2) @ cross).mT, torch.linalg.cholesky(own)).mT
    return second.unflatten(2, (-1, w.shape[3]))


def input_basis(w: Tensor, moments: Tensor | None) -> Tensor:
    """All rows (g, R, m) of the first factor, best first: the leading r of them are the rank-r answer."""
    white, factor = whiten(w, moments)
    basis = torch.linalg.svd(unfold_inputs(white), full_matrices=False).U
    return unwhiten(basis, factor)


def unwhiten(basis: Tensor, factor: Tensor | None) -> Tensor:
    """Columns (g, m, r) on white inputs to rows (g, r, m) on real ones: basisᵀ L⁻¹."""
    if factor is None:
        return basis.mT
    return torch.linalg.solve_triangular(factor.mT, basis, upper=True).mT


def output_spectrum(second: Tensor, first: Tensor, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    """Energies (g, O) and directions (g, O, O) of a chain's outputs, strongest first (reduced-rank regression)."""
    outputs = second.flatten(2)
    if moments is not None:
        outputs = outputs @ torch.linalg.cholesky(features(first, moments, second.shape[3])[1])
    energies, directions = torch.linalg.eigh(outputs @ outputs.mT)
    return energies.flip(-1), directions.flip(-1)


def tucker(
    w: Tensor,
    r_in: int,
    r_out: int,
    moments: Tensor | None = None,
    max_sweeps: int = 50,
    tolerance: float = 1e-8,
) -> Tucker:
    """Tucker-2 of (g, O, m, q) by higher-order orthogonal iteration from the HOSVD (De Lathauwer et al. 2000).

    Each sweep chooses the inputs for the outputs of the sweep before, then core and outputs exactly for these inputs.
    It ends when a sweep gains less than `tolerance` of the energy. Without moments no sweep can lose; with them the
    choice of inputs is approximate, and a sweep that would lose is not taken: the error never rises.
    """
    white, factor = whiten(w, moments)
    total = output_energy(w, moments)
    basis = leading(unfold_inputs(white), r_in)
    best: Tucker | None = None
    for _ in range(max_sweeps):
        first = unwhiten(basis, factor)
        second = regress(w, first, moments)
        energies, directions = output_spectrum(second, first, moments)
        last = directions[..., :r_out]
        error = max(float(1 - energies[:, :r_out].sum() / total), 0.0)
        gain = best.errors[-1] - error if best else 1.0
        if gain > 0:
            errors = [*best.errors, error] if best else [error]
            best = Tucker(first, torch.einsum("goiq,gor->griq", second, last), last, errors)
        if gain <= tolerance:
            break
        basis = leading(unfold_inputs(torch.einsum("gomq,gor->grmq", white, last)), r_in)
    assert best is not None
    return best


def factorise(weight: Tensor, kind: Kind, ranks: tuple[int, ...], moments: Tensor | None = None) -> list[Tensor]:
    """Factors of a grouped weight as convolution weights, in the order of the chain.

    Args:
        weight: float64 (g, O, c, kh, kw).
        ranks: for each group the channels between the layers, in the order of the chain.
        moments: (g, P, P) second moments of the patches, P = c·kh·kw, positive definite.

    Returns:
        Weights (g·r, c, ., .), then (g·r', r, ., .) and so on to (g·O, r, ., .), float64.
    """
    w = split_weight(weight, kind)
    if kind == "tucker":
        r_in, r_out = ranks
        *factors, _ = tucker(w, r_in, r_out, moments)
    else:
        first = input_basis(w, moments)[:, : ranks[0]]
        factors = [first, regress(w, first, moments)]
    shapes = factor_shapes(weight.shape, kind, ranks)
    return balance([factor.reshape(shape) for factor, shape in zip(factors, shapes, strict=True)])


def balance(weights: list[Tensor]) -> list[Tensor]:
    """Give both sides of each inner channel the same norm, so that no factor trains at another's pace."""
    for index in range(len(weights) - 1):
        first, second = weights[index], weights[index + 1]
        groups = first.shape[0] // second.shape[1]
        inner = second.unflatten(0, (groups, -1)).square().sum((1, 3, 4)).flatten().sqrt()
        outer = first.flatten(1).norm(dim=1)
        scale = torch.where((inner > 0) & (outer > 0), (inner / outer).sqrt(), 1.0)
        weights[index] = first * scale[:, None, None, None]
        per_row = scale.unflatten(0, (groups, -1)).repeat_interleave(second.shape[0] // groups, dim=0)
        weights[index + 1] = second / per_row[:, :, None, None]
    return weights


def compose(weights: list[Tensor], groups: int) -> Tensor:
    """The dense grouped weight (g, O, c, kh, kw) that a chain of factors amounts to."""
    parts = [weight.unflatten(0, (groups, -1)) for weight in weights]
    if len(parts) == 3:
        return torch.einsum("gic,grihw,gor->gochw", parts[0][..., 0, 0], parts[1], parts[2][..., 0, 0])
    # the heights all lie in the first of the two; the widths lie in one of them, the other has width 1
    return torch.einsum("grchw,gorv->gochwv", parts[0], parts[1][:, :, :, 0]).flatten(-2)


def output_energy(w: Tensor, moments: Tensor | None) -> Tensor:
    """tr(W S Wᵀ) summed over the groups: E‖Wx‖², or ‖W‖² without moments; w is (g, O, P) or its trailing parts."""
    flat = w.flatten(2)
    return (flat * (flat if moments is None else flat @ moments)).sum().clamp(min=0)


def relative_error(weight: Tensor, approximation: Tensor, moments: Tensor | None = None) -> float:
    """√(E‖(W − W')x‖² / E‖Wx‖²) of two weights (g, O, c, kh, kw)."""
    return float((output_energy(weight - approximation, moments) / output_energy(weight, moments)).sqrt())
