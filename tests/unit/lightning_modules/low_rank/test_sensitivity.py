"""Layers that matter for the loss cost more."""

import pytest
import torch
from torch import nn

from errors import UserError
from lightning_modules.low_rank import select_ranks


class TwoBranches(nn.Module):
    """Twins in shape, but only the first has a say in the output."""

    def __init__(self) -> None:
        super().__init__()
        self.loud, self.quiet = nn.Linear(16, 16), nn.Linear(16, 16)
        self.quiet.load_state_dict(self.loud.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.loud(x) + 1e-3 * self.quiet(x)


def test_the_budget_is_spent_where_the_loss_rises() -> None:
    torch.manual_seed(0)
    model = TwoBranches()
    x = torch.randn(64, 16)
    targets = model(x).detach()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    plan = select_ranks(
        model, x[:1], "sensitivity", budget=0.7, calibration=[(x, targets)], loss=nn.functional.mse_loss
    )
    assert list(plan.layers) == ["quiet"]
    plain = select_ranks(model, x[:1], "budget", budget=0.7)
    assert plain.layers["quiet"].error < plan.layers["quiet"].error
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_mistakes_are_told() -> None:
    model, x = TwoBranches(), torch.randn(4, 16)
    with pytest.raises(UserError, match="needs calibration"):
        select_ranks(model, x, "sensitivity")
    nan = torch.full((4, 16), float("nan"))
    with pytest.raises(UserError, match="is nan"):
        select_ranks(model, x, "sensitivity", calibration=[(x, nan)], loss=nn.functional.mse_loss)
