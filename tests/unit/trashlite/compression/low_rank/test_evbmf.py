"""Against planted ranks, and against the free energy minimised independently, scalar by scalar, with scipy."""

from itertools import pairwise
from math import ceil, log, sqrt

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from trashlite.compression.low_rank.evbmf import evbmf_rank


def planted(rows: int, columns: int, rank: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns)) + noise * rng.normal(size=(rows, columns))


def rank_of(matrix: np.ndarray) -> int:
    return evbmf_rank(np.linalg.svd(matrix, compute_uv=False), *matrix.shape)


@pytest.mark.parametrize(("rows", "columns"), [(40, 60), (60, 40), (30, 300), (50, 50)])
@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("noise", [0.01, 0.5])
def test_planted_rank_is_found(rows: int, columns: int, rank: int, noise: float) -> None:
    assert rank_of(planted(rows, columns, rank, noise)) == rank


def test_pure_noise_and_zeros_have_rank_zero() -> None:
    assert rank_of(np.random.default_rng(0).normal(size=(60, 80))) == 0
    assert rank_of(np.zeros((5, 7))) == 0


def test_does_not_depend_on_scale() -> None:
    matrix = planted(40, 60, 5, 2.0)
    assert rank_of(matrix) == rank_of(1e-6 * matrix) == rank_of(1e4 * matrix) > 0


def reference_rank(values: np.ndarray, rows: int, columns: int) -> int:
    """Corollary 2 and Theorem 3 of Nakajima et al. (2013), written out for scalars; τ̄ from its defining equation."""
    short, long = min(rows, columns), max(rows, columns)
    alpha = short / long

    def phi(z: float) -> float:
        return log(z + 1) / z - 0.5

    tau_bar = brentq(lambda tau: phi(tau) + phi(tau / alpha), 1e-9, 1e3)
    x_bar = (1 + tau_bar) * (1 + alpha / tau_bar)

    def psi(x: float) -> float:
        value = x - log(x)
        if x > x_bar:
            tau = 0.5 * (x - (1 + alpha) + sqrt((x - (1 + alpha)) ** 2 - 4 * alpha))
            value += log(tau + 1) + alpha * log(tau / alpha + 1) - tau
        return value

    most = ceil(short / (1 + alpha)) - 1
    lower = max(values[most] ** 2 / (long * x_bar), float(np.mean(values[most:] ** 2)) / long)
    upper = float(np.sum(values**2)) / (short * long)
    starts = np.geomspace(lower, upper, 60)
    found = [
        minimize_scalar(lambda v: sum(psi(g**2 / (long * v)) for g in values), bounds=pair, method="bounded")
        for pair in pairwise(starts)
    ]
    variance = min(found, key=lambda result: result.fun).x
    return int(np.sum(values > sqrt(long * variance * x_bar)))


@pytest.mark.parametrize("noise", [0.5, 2.0, 4.0, 8.0])
@pytest.mark.parametrize(("rows", "columns"), [(20, 30), (16, 16), (48, 12)])
def test_equals_the_formulas_written_out(rows: int, columns: int, noise: float) -> None:
    values = np.linalg.svd(planted(rows, columns, 5, noise, seed=3), compute_uv=False)
    assert evbmf_rank(values, rows, columns) == reference_rank(values, rows, columns)
