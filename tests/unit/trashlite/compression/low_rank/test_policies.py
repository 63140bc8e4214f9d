"""Ranks of one layer, against values computed by hand."""

import pytest
import torch

from trashlite.compression.low_rank.policies import energy_ranks, ratio_ranks, round_ranks
from trashlite.errors import UserError


def diagonal(*values: float) -> torch.Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))[None, :, :, None, None]


def test_ratio() -> None:
    weight = torch.randn(1, 10, 6, 3, 3, dtype=torch.float64)
    assert ratio_ranks(weight, "tucker", 0.5) == (3, 5)
    assert ratio_ranks(weight, "spatial", {"svd": 0.1, "spatial": 0.5}) == (9,)
    with pytest.raises(UserError, match="no share for kind 'tucker'"):
        ratio_ranks(weight, "tucker", {"svd": 0.1})


@pytest.mark.parametrize(("energy", "rank"), [(0.5, 1), (0.64, 1), (0.65, 2), (0.96, 2), (0.97, 3), (1.0, 3)])
def test_energy(energy: float, rank: int) -> None:
    weight = diagonal(8.0, 32**0.5, 2.0, 0.0)  # squares 64, 32, 4 of 100
    assert energy_ranks(weight, "svd", None, energy) == (rank,)


def test_energy_looks_at_the_outputs_where_there_are_moments() -> None:
    weight = diagonal(8.0, 32**0.5, 2.0)
    moments = torch.diag(torch.tensor([1e-6, 1e-6, 1.0], dtype=torch.float64))[None]
    assert energy_ranks(weight, "svd", moments, 0.99) == (1,)


def test_rounding() -> None:
    weight = torch.zeros(1, 30, 21, 1, 1)
    assert round_ranks((0,), weight, "svd", 1, 1) == (1,)
    assert round_ranks((0,), weight, "svd", 1, 3) == (3,)
    assert round_ranks((11,), weight, "svd", 8, 1) == (8,)
    assert round_ranks((13,), weight, "svd", 8, 1) == (16,)
    assert round_ranks((5,), weight, "svd", 8, 10) == (16,)
    assert round_ranks((21,), weight, "svd", 8, 1) == (21,)
    assert round_ranks((1, 40), torch.zeros(1, 40, 8, 3, 3), "tucker", 1, 1) == (1, 9)
    assert round_ranks((40, 1), torch.zeros(1, 8, 40, 3, 3), "tucker", 1, 1) == (9, 1)
