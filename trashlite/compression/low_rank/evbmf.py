"""Empirical variational Bayesian matrix factorisation: the singular values of a noisy matrix that are signal.

The global analytic solution of Nakajima, Sugiyama, Babacan and Tomioka, "Global analytic solution of fully-observed
variational Bayesian matrix factorization", JMLR 14 (2013), Theorems 2 and 3 and Corollary 2.
"""

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GRID = 200  # the free energy of the noise has several minima, so it is scanned before it is refined


def evbmf_rank(singular_values: Array, rows: int, columns: int) -> int:
    """Rank of the EVB solution, the noise variance estimated too; 0 where all looks like noise.

    Args:
        singular_values: all min(rows, columns) of them, in falling order.
    """
    short, long = sorted((rows, columns))
    alpha = short / long
    edge = _edge(alpha)
    squared = singular_values.astype(np.float64) ** 2
    total = squared.sum()
    if total == 0:
        return 0
    # Theorem 3: bounds of the noise variance
    most = min(ceil(short / (1 + alpha)) - 1, short)
    tail = squared[most:]
    lower = max(tail[0] / (long * edge), tail.mean() / long, 1e-12 * total / (short * long))
    variance = _minimise(lambda v: _free_energy(squared, v, long, alpha, edge), lower, total / (short * long))
    return int((squared > long * variance * edge).sum())


def _edge(alpha: float) -> float:
    """x̄ = (1 + τ̄)(1 + α/τ̄) with τ̄ ≈ 2.5129 √α: the least γ²/(Mσ²) that is kept."""
    tau = 2.5129 * np.sqrt(alpha)
    return float((1 + tau) * (1 + alpha / tau))


def _free_energy(squared: Array, variance: Array, long: int, alpha: float, edge: float) -> Array:
    """Ω(σ²) for a column of variances, up to a constant: the sum of ψ(γ²/(Mσ²)) (Theorem 3)."""
    x = squared / (long * variance[:, None])
    x = np.maximum(x, 1e-300)
    psi = x - np.log(x)
    kept = np.maximum(x, edge)
    tau = (kept - (1 + alpha) + np.sqrt((kept - (1 + alpha)) ** 2 - 4 * alpha)) / 2
    psi += np.where(x > edge, np.log(tau + 1) + alpha * np.log(tau / alpha + 1) - tau, 0)
    return psi.sum(axis=1)


def _minimise(function: Callable[[Array], Array], lower: float, upper: float) -> float:
    """Minimum over a logarithmic grid, refined twice between the neighbours of the best."""
    for _ in range(3):
        grid = np.geomspace(lower, max(upper, lower), GRID)
        best = int(np.argmin(function(grid)))
        lower, upper = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    return float(grid[best])
