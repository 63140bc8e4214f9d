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

from lightning_modules.low_rank.layers import Kind


class HooiResult(NamedTuple):
    """Bases (g, m, r_in) and (g, O, r_out) with orthonormal columns, and ‖W − W'‖² / ‖W‖² after each sweep."""

    inputs: Tensor
    outputs: Tensor
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


def hooi(w: Tensor, r_in: int, r_out: int, max_sweeps: int = 50, tolerance: float = 1e-8) -> HooiResult:
    """Tucker-2 by higher-order orthogonal iteration from the HOSVD (De Lathauwer et al. 2000): (g, O, m, q).

    The first error is the HOSVD's. Each sweep solves one side exactly given the other, so the error never rises; it
    ends when a sweep gains less than `tolerance` of ‖W‖².
    """
    total = w.square().sum()
    inputs = leading(unfold_inputs(w), r_in)
    outputs = leading(w.flatten(2), r_out)

    def project_outputs() -> Tensor:
        return torch.einsum("gomq,gor->grmq", w, outputs)

    def error() -> float:
        kept = torch.einsum("grmq,gmi->griq", project_outputs(), inputs).square().sum()
        return float((1 - kept / total).clamp(min=0))

    errors = [error()]
    for _ in range(max_sweeps):
        outputs = leading(torch.einsum("gomq,gmi->goiq", w, inputs).flatten(2), r_out)
        inputs = leading(unfold_inputs(project_outputs()), r_in)
        errors.append(error())
        if errors[-2] - errors[-1] <= tolerance:
            break
    return HooiResult(inputs, outputs, errors)


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


def factorise(
    weight: Tensor, kind: Kind, ranks: tuple[int, ...], moments: Tensor | None = None
) -> list[Tensor]:
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
        white, factor = whiten(w, moments)
        first = unwhiten(hooi(white, r_in, r_out).inputs, factor)
        second = regress(w, first, moments)
        last = output_basis(second, first, moments)[..., :r_out]
        factors = [first, torch.einsum("goiq,gor->griq", second, last), last]
    else:
        first = input_basis(w, moments)[:, : ranks[0]]
        factors = [first, regress(w, first, moments)]
    shapes = factor_shapes(weight.shape, kind, ranks)
    return balance([factor.reshape(shape) for factor, shape in zip(factors, shapes, strict=True)])


def output_basis(second: Tensor, first: Tensor, moments: Tensor | None) -> Tensor:
    """Directions (g, O, O) of the outputs of a chain, strongest first (reduced-rank regression, Izenman 1975)."""
    outputs = second.flatten(2)
    if moments is not None:
        outputs = outputs @ torch.linalg.cholesky(features(first, moments, second.shape[3])[1])
    return leading(outputs, outputs.shape[1])


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


def relative_error(weight: Tensor, approximation: Tensor, moments: Tensor | None = None) -> float:
    """√(tr(Δ S Δᵀ) / tr(W S Wᵀ)) with Δ the difference of two (g, O, c, kh, kw); S is the identity without moments."""

    def energy(w: Tensor) -> Tensor:
        flat = w.flatten(2)
        return (flat * (flat if moments is None else flat @ moments)).sum().clamp(min=0)

    return float((energy(weight - approximation) / energy(weight)).sqrt())
