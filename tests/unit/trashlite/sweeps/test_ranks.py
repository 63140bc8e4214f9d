"""The space of budgets and weights: every point is a plan, and some are the plans of the policy itself."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import optuna
import pytest
import timm
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import RandomSampler
from torch import nn

from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.low_rank import select_ranks
from trashlite.errors import UserError
from trashlite.sweeps import ranks as rank_space
from trashlite.sweeps.ranks import layer_weights, sensitivity_plans, stage_pattern, stage_weights


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


@pytest.mark.parametrize("space", [stage_weights, layer_weights])
def test_every_point_is_a_plan(network: nn.Module, space: Any) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0), directions=["maximize", "minimize"])
    x = torch.zeros(1, 3, 32, 48)
    trial = study.ask()
    point = space(config(), trial)
    budget, weights = point["callbacks.low_rank.budget"], point["callbacks.low_rank.weights"]
    assert {"budget": budget, **weights} == pytest.approx(trial.params, rel=1e-2)
    plan = select_ranks(network, x, budget=budget, weights=weights)
    assert plan.macs_after <= budget * plan.macs_before
    least = trial.distributions["budget"].low  # type: ignore[attr-defined]
    select_ranks(network, x, budget=least)  # a budget out of reach would raise
    with pytest.raises(UserError, match="cannot be reached"):
        select_ranks(network, x, budget=least - 0.051)


def test_weights_move_macs_between_stages(network: nn.Module) -> None:
    """With equal weights, whatever they are, the plan is that of none."""
    x = torch.zeros(1, 3, 32, 48)
    patterns = [name for name in sensitivity_plans(config())[0] if name != "budget"]
    plain = select_ranks(network, x, budget=0.6)
    assert select_ranks(network, x, budget=0.6, weights=dict.fromkeys([*patterns, "*"], 4.0)) == plain

    def macs(stage: str, weight: float) -> int:
        plan = select_ranks(network, x, budget=0.6, weights={stage: weight})
        costs = measure_layers(network, x)
        return sum(
            plan.layers[name].macs_after if name in plan.layers else cost.macs
            for name, cost in costs.items()
            if fnmatchcase(name, stage)
        )

    stage = patterns[len(patterns) // 2]
    assert macs(stage, 1e-3) < macs(stage, 1e3)


def test_a_search_begins_with_the_plans_of_the_policy(network: nn.Module) -> None:
    points = sensitivity_plans(config())
    assert [point["budget"] for point in points][:3] == [0.9, 0.8, 0.7]
    study = optuna.create_study()
    for point in points:
        study.enqueue_trial(point)
        trial = study.ask()
        drawn = stage_weights(config(), trial)
        assert trial.params == point
        assert drawn["callbacks.low_rank.budget"] == point["budget"]
    plans = [point for point in points if all(point[name] == 1 for name in point if name != "budget")]
    assert plans == points[: len(plans)]  # first the policy's own
    stages = [name for name in points[0] if name != "budget"]
    around = [
        {"budget": share, **dict.fromkeys(stages, 1.0), name: weight}
        for share in (0.7, 0.5)
        for name in stages
        for weight in (2.0, 0.5)
    ]
    assert points[len(plans) :] == around


def test_settings_that_limit_ranks_limit_the_space(network: nn.Module) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    free, coarse, without = study.ask(), study.ask(), study.ask()
    stage_weights(config(), free)
    stage_weights(config(multiple=8, min_rank=8), coarse)
    lows = [trial.distributions["budget"].low for trial in (free, coarse)]  # type: ignore[attr-defined]
    assert lows[1] > lows[0]
    excluded = next(name for name in free.params if name != "budget")
    stage_weights(config(exclude=[excluded]), without)
    assert without.params.keys() == free.params.keys() - {excluded}
    with pytest.raises(UserError, match="can be factorised"):
        stage_weights(config(exclude=["*"]), study.ask())


def test_what_costs_next_to_nothing_stays_dense(network: nn.Module) -> None:
    trial = optuna.create_study(sampler=RandomSampler(seed=0)).ask()
    layer_weights(config(), trial)
    costs = {name: cost.macs for name, cost in measure_layers(network, torch.zeros(1, 3, 32, 48)).items()}
    assert all(costs[name] >= 0.01 * sum(costs.values()) for name in trial.params if name != "budget")


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
        stage_weights(cfg, trial)
    cfg.checkpoint = str(tmp_path / "nowhere.ckpt")
    with pytest.raises(UserError, match=r"nowhere\.ckpt"):
        stage_weights(cfg, trial)


def test_a_layer_that_the_network_looks_into_saves_nothing() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).to(self.second.weight.dtype))

    limits: dict[str, Any] = {"kinds": None, "exclude": [], "multiple": 1, "min_rank": 1}
    macs = rank_space.layer_macs(Net(), [4, 4], **limits)
    assert macs == {"first": (16 * 3 * 64, 16 * (3 + 64)), "second": (16 * 64 * 64, 16 * 64 * 64)}
