"""Errors are what they claim to be, and least."""

from itertools import pairwise

import pytest
import torch

from trashlite.compression.low_rank.factorise import (
    compose,
    factorise,
    full_ranks,
    relative_error,
    split_weight,
    tucker,
)

SHAPES = [(1, 6, 5, 3, 3), (3, 4, 2, 3, 2), (4, 1, 1, 3, 3), (1, 8, 6, 1, 1)]


def correlated(groups: int, size: int, seed: int = 1) -> torch.Tensor:
    """Second moments with a steep spectrum."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(groups, size, size, dtype=torch.float64, generator=generator)
    samples = mix * torch.logspace(0, -2, size, dtype=torch.float64)
    return samples @ samples.mT + 1e-6 * torch.eye(size)


def random_weight(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["svd", "spatial", "tucker"])
def test_full_rank_is_exact_also_with_moments(shape: tuple[int, ...], kind: str) -> None:
    weight = random_weight(*shape)
    for moments in (None, correlated(shape[0], shape[2] * shape[3] * shape[4])):
        product = compose(factorise(weight, kind, full_ranks(shape, kind), moments), shape[0])
        torch.testing.assert_close(product, weight)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_svd_loses_the_small_singular_values(rank: int) -> None:
    weight = random_weight(1, 8, 6, 1, 1)
    values = torch.linalg.svdvals(weight[0, :, :, 0, 0])
    error = relative_error(weight, compose(factorise(weight, "svd", (rank,)), 1))
    assert error == pytest.approx(float(values[rank:].norm() / values.norm()))


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_whitened_svd_is_the_optimum_of_the_output_error(rank: int) -> None:
    """Against the Eckart-Young value of W S^½, S^½ from an eigendecomposition."""
    weight, moments = random_weight(2, 8, 3, 2, 1), correlated(2, 6)
    values, vectors = torch.linalg.eigh(moments)
    root = vectors * values.sqrt()[:, None] @ vectors.mT
    spectrum = torch.linalg.svdvals(weight.flatten(2) @ root).square()
    error = relative_error(weight, compose(factorise(weight, "svd", (rank,), moments), 2), moments)
    assert error == pytest.approx(float((spectrum[:, rank:].sum() / spectrum.sum()).sqrt()))


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("kind", ["svd", "spatial", "tucker"])
def test_moments_lower_the_output_error_of_every_kind(shape: tuple[int, ...], kind: str) -> None:
    weight, moments = random_weight(*shape), correlated(shape[0], shape[2] * shape[3] * shape[4])
    full = full_ranks(shape, kind)
    for cut in range(1, max(full)):
        ranks = tuple(max(rank - cut, 1) for rank in full)
        if ranks == full:
            continue
        plain = relative_error(weight, compose(factorise(weight, kind, ranks), shape[0]), moments)
        aware = relative_error(weight, compose(factorise(weight, kind, ranks, moments), shape[0]), moments)
        assert aware < plain


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["svd", "spatial", "tucker"])
def test_white_inputs_change_nothing(shape: tuple[int, ...], kind: str) -> None:
    weight = random_weight(*shape)
    white = 3.0 * torch.eye(shape[2] * shape[3] * shape[4], dtype=torch.float64).expand(shape[0], -1, -1)
    ranks = tuple(max(rank // 2, 1) for rank in full_ranks(shape, kind))
    plain = compose(factorise(weight, kind, ranks), shape[0])
    torch.testing.assert_close(compose(factorise(weight, kind, ranks, white), shape[0]), plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("ranks", [(1, 1), (2, 3), (4, 2), (3, 7)])
@pytest.mark.parametrize("aware", [False, True])
def test_tucker_never_gets_worse_and_says_its_error(ranks: tuple[int, int], aware: bool) -> None:
    weight = random_weight(2, 8, 6, 3, 3)
    moments = correlated(2, 54) if aware else None
    errors = tucker(split_weight(weight, "tucker"), *ranks, moments).errors
    assert all(after <= before for before, after in pairwise(errors))
    real = relative_error(weight, compose(factorise(weight, "tucker", ranks, moments), 2), moments)
    assert errors[-1] == pytest.approx(real**2)


@pytest.mark.parametrize("ranks", [(2, 3), (4, 2), (3, 5)])
def test_tucker_is_where_neither_side_can_gain(ranks: tuple[int, int]) -> None:
    """Below the HOSVD's error, and stationary: each basis is the best one for the other."""
    weight = random_weight(1, 8, 6, 3, 3)
    w = split_weight(weight, "tucker")[0]
    inputs = torch.linalg.svd(w.transpose(0, 1).flatten(1)).U[:, : ranks[0]]
    outputs = torch.linalg.svd(w.flatten(1)).U[:, : ranks[1]]

    def kept(inputs: torch.Tensor, outputs: torch.Tensor) -> float:
        return float(torch.einsum("omq,mi,or->irq", w, inputs, outputs).square().sum())

    result = tucker(w[None], *ranks, tolerance=1e-13, max_sweeps=1000)
    hosvd_error = 1 - kept(inputs, outputs) / float(w.square().sum())
    assert len(result.errors) > 1
    assert result.errors[-1] < hosvd_error
    inputs, outputs = result.first[0].mT, result.last[0]
    best_inputs = torch.linalg.svd(torch.einsum("omq,or->mrq", w, outputs).flatten(1)).U[:, : ranks[0]]
    best_outputs = torch.linalg.svd(torch.einsum("omq,mi->oiq", w, inputs).flatten(1)).U[:, : ranks[1]]
    assert kept(best_inputs, outputs) == pytest.approx(kept(inputs, outputs), rel=1e-6)
    assert kept(inputs, best_outputs) == pytest.approx(kept(inputs, outputs), rel=1e-6)


def test_both_sides_of_an_inner_channel_have_the_same_norm() -> None:
    first, second = factorise(random_weight(3, 4, 2, 3, 3), "spatial", (2,))
    inner = second.reshape(3, 4, 2, 3).permute(0, 2, 1, 3).reshape(6, -1).norm(dim=1)
    torch.testing.assert_close(first.flatten(1).norm(dim=1), inner)
