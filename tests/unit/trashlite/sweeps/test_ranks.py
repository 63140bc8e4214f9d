"""The space of shares: every point is a plan within its budgets, down to the smallest."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import timm
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import RandomSampler
from torch import nn

from trashlite.compression.low_rank import select_ranks
from trashlite.compression.low_rank.macs import measure_layers
from trashlite.errors import UserError
from trashlite.sweeps import ranks as rank_space
from trashlite.sweeps.ranks import layer_budgets, stage_budgets, stage_pattern


@pytest.fixture(params=["mobilenetv3_small_050", "shufflenetv2_x0_25"])
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A network as if from the checkpoint."""
    import trashlite.backbones  # noqa: F401

    torch.manual_seed(0)
    model = timm.create_model(request.param, num_classes=9).eval()
    monkeypatch.setattr(rank_space, "trained_network", lambda checkpoint: (model, [32, 48]))
    return model


def config(**settings: Any) -> DictConfig:
    low_rank = {"kinds": None, "exclude": [], "multiple": 1, "min_rank": 1} | settings
    return OmegaConf.create({"checkpoint": "best.ckpt", "callbacks": {"low_rank": low_rank}})


def lowest(trial: optuna.Trial) -> dict[str, float]:
    return {name: distribution.low for name, distribution in trial.distributions.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("space", [stage_budgets, layer_budgets])
def test_every_point_is_a_plan(network: nn.Module, space: Any) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0), directions=["maximize", "minimize"])
    x = torch.zeros(1, 3, 32, 48)
    trial = study.ask()
    [(key, shares)] = space(config(), trial).items()
    assert key == "callbacks.low_rank.budget"
    assert shares == pytest.approx(trial.params)
    dense = select_ranks(network, x, budget=dict.fromkeys(shares, 1.0))
    assert not dense.layers
    drawn = select_ranks(network, x, budget=shares)
    least = select_ranks(network, x, budget=lowest(trial))  # a budget out of reach would raise
    assert least.macs_after < drawn.macs_after < dense.macs_after
    with pytest.raises(UserError, match="cannot be reached"):
        select_ranks(network, x, budget={name: low - 0.051 for name, low in lowest(trial).items() if low > 0.06})


def test_settings_that_limit_ranks_limit_the_space(network: nn.Module) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    free, coarse, without = study.ask(), study.ask(), study.ask()
    stage_budgets(config(), free)
    stage_budgets(config(multiple=8, min_rank=8), coarse)
    assert all(low >= lowest(free)[name] for name, low in lowest(coarse).items())
    assert sum(lowest(coarse).values()) > sum(lowest(free).values())
    excluded = next(iter(lowest(free)))
    stage_budgets(config(exclude=[excluded]), without)
    assert lowest(without).keys() == lowest(free).keys() - {excluded}
    with pytest.raises(UserError, match="can be factorised"):
        stage_budgets(config(exclude=["*"]), study.ask())


def test_what_costs_next_to_nothing_stays_dense(network: nn.Module) -> None:
    trial = optuna.create_study(sampler=RandomSampler(seed=0)).ask()
    layer_budgets(config(), trial)
    costs = {name: cost.macs for name, cost in measure_layers(network, torch.zeros(1, 3, 32, 48)).items()}
    assert all(costs[name] >= 0.01 * sum(costs.values()) for name in trial.params)


@pytest.mark.parametrize(
    ("layer", "pattern"),
    [
        ("conv_stem", "conv_stem"),
        ("blocks.0.1.conv_pw", "blocks.0.*"),
        ("stages.2.0.conv", "stages.2.*"),
        ("stage2.0.branch1.2", "stage2.*"),
        ("conv1.0", "conv1.*"),
    ],
)
def test_stages_are_told_by_name(layer: str, pattern: str) -> None:
    assert stage_pattern(layer) == pattern


def test_a_checkpoint_is_needed(tmp_path: Path) -> None:
    trial = optuna.create_study().ask()
    cfg = config()
    cfg.checkpoint = None
    with pytest.raises(UserError, match="checkpoint="):
        stage_budgets(cfg, trial)
    cfg.checkpoint = str(tmp_path / "nowhere.ckpt")
    with pytest.raises(UserError, match=r"nowhere\.ckpt"):
        stage_budgets(cfg, trial)
