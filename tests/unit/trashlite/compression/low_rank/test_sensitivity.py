"""Layers that matter for the loss cost more."""

import pytest
import torch
from torch import nn

from trashlite.compression.low_rank import select_ranks
from trashlite.compression.low_rank.candidates import Candidate
from trashlite.compression.low_rank.sensitivity import _mean_loss, _rises
from trashlite.errors import UserError


class TwoBranches(nn.Module):
    """Twins with the same weights, of which one has next to no say in the output."""

    def __init__(self, shares: tuple[float, float] = (1.0, 1e-3)) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.load_state_dict(self.first.state_dict())
        self.shares = shares

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shares[0] * self.first(x) + self.shares[1] * self.second(x)


@pytest.mark.parametrize(("shares", "quiet"), [((1.0, 1e-3), "second"), ((1e-3, 1.0), "first")])
def test_the_budget_is_spent_where_the_loss_rises(shares: tuple[float, float], quiet: str) -> None:
    torch.manual_seed(0)
    model = TwoBranches(shares)
    x = torch.randn(64, 16)
    targets = model(x).detach()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    plan = select_ranks(
        model, x[:1], "sensitivity", budget=0.7, calibration=[(x, targets)], loss=nn.functional.mse_loss
    )
    assert list(plan.layers) == [quiet]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_mistakes_are_told() -> None:
    model, x = TwoBranches(), torch.randn(4, 16)
    with pytest.raises(UserError, match="needs calibration"):
        select_ranks(model, x, "sensitivity")
    nan = torch.full((4, 16), float("nan"))
    with pytest.raises(UserError, match="is nan"):
        select_ranks(model, x, "sensitivity", calibration=[(x, nan)], loss=nn.functional.mse_loss)


def test_a_smaller_last_batch_weighs_less() -> None:
    batches = [(torch.zeros(3, 1), torch.full((3, 1), 2.0)), (torch.zeros(1, 1), torch.full((1, 1), 6.0))]
    assert _mean_loss(nn.Identity(), batches, nn.functional.l1_loss) == pytest.approx((3 * 2 + 6) / 4)


def test_rises_go_through_what_was_measured_and_never_fall() -> None:
    options = [Candidate("svd", (rank,), rank, error) for rank, error in ((4, 0.0), (3, 0.1), (2, 0.2), (1, 0.6))]
    # Half the MACs (error 0.2) cost next to nothing, the cheapest (0.6) ruins it: 0.001, then 0.001 + 0.4 * slope.
    assert _rises(options, [(0.2, 0.001), (0.6, 2.001)], 1e-4) == pytest.approx([0, 0.0005, 0.001, 2.001])
    # A loss that seems to fall counts as the least slope.
    assert _rises(options, [(0.2, -1.0), (0.6, -2.0)], 1e-4) == pytest.approx([0, 1e-5, 2e-5, 6e-5])
    # One point alone, or none with an error, goes on in a straight line.
    assert _rises(options, [(0.2, 0.4), (0.2, 0.4)], 1e-4) == pytest.approx([0, 0.2, 0.4, 1.2])
    assert _rises(options, [(0.0, 0.0), (0.0, 0.0)], 1e-4) == pytest.approx([0, 1e-5, 2e-5, 6e-5])


def test_a_layer_that_one_rank_would_ruin_keeps_more() -> None:
    """Two inputs of equal worth through a first layer of rank 2: one rank loses half the signal, two lose nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False))
    first, second = (layer.weight for layer in model)
    with torch.no_grad():
        u, v = torch.linalg.qr(torch.randn(16, 2))[0], torch.linalg.qr(torch.randn(16, 2))[0]
        first.copy_(u @ v.mT)
        second.copy_(torch.linalg.qr(torch.randn(16, 16))[0])
    x = torch.randn(256, 16)
    calibration = [(x, model(x).detach())]
    plan = select_ranks(model, x[:1], "sensitivity", budget=0.63, calibration=calibration, loss=nn.functional.mse_loss)
    assert {name: entry.ranks for name, entry in plan.layers.items()} == {"0": (2,)}
