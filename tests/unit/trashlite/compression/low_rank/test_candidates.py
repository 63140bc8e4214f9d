"""The foretold errors are the real ones."""

from itertools import pairwise

import pytest
import torch

from trashlite.compression.layer_costs import LayerCost
from trashlite.compression.low_rank.candidates import list_candidates, squared_errors
from trashlite.compression.low_rank.factorise import compose, factorise, full_ranks, relative_error


def moments_like_a_network(groups: int, size: int) -> torch.Tensor:
    torch.manual_seed(3)
    samples = torch.randn(groups, size, 2 * size, dtype=torch.float64).relu() * torch.rand(groups, size, 1).double()
    return samples @ samples.mT / size + 1e-4 * torch.eye(size)


@pytest.mark.parametrize("shape", [(1, 6, 5, 3, 3), (2, 4, 3, 3, 2), (5, 1, 1, 5, 5), (1, 8, 6, 1, 1)])
@pytest.mark.parametrize("aware", [False, True])
@pytest.mark.parametrize("kind", ["svd", "spatial", "tucker"])
def test_error_of_every_rank(shape: tuple[int, ...], aware: bool, kind: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64)
    moments = moments_like_a_network(shape[0], shape[2] * shape[3] * shape[4]) if aware else None
    errors = squared_errors(weight, kind, moments)
    assert errors[full_ranks(shape, kind)] == pytest.approx(0, abs=1e-9)
    for ranks, error in errors.items():
        real = relative_error(weight, compose(factorise(weight, kind, ranks, moments), shape[0]), moments) ** 2
        if kind == "tucker":  # the iteration gains on its start
            assert real <= error + 1e-9
        else:
            assert real == pytest.approx(error, abs=1e-9)


def test_front_is_cheaper_than_dense_and_keeps_to_the_multiples() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(20, 30, 3, padding=1)
    cost = LayerCost(1, 30 * 20 * 9 * 64, (8, 8), (8, 8))
    front = list_candidates(layer, cost, ("tucker", "spatial", "svd"), None, multiple=4, min_rank=6)
    assert len({candidate.kind for candidate in front}) > 1
    assert all(candidate.macs < cost.macs for candidate in front)
    assert all(rank % 4 == 0 or rank in (20, 30) for candidate in front for rank in candidate.ranks)
    assert all(rank >= 6 for candidate in front for rank in candidate.ranks)
    narrow = torch.nn.Conv2d(3, 30, 3, padding=1)  # has no six inputs: all three are allowed
    cost = LayerCost(1, 30 * 3 * 9 * 64, (8, 8), (8, 8))
    assert {candidate.ranks[0] for candidate in list_candidates(narrow, cost, ("tucker",), None, 4, 6)} == {3}
    for before, after in pairwise(front):
        assert before.macs < after.macs
        assert before.loss > after.loss
