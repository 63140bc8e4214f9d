"""Layers that matter for the loss cost more."""

import pytest
import torch
from torch import nn

from errors import UserError
from lightning_modules.low_rank import select_ranks


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
