"""Plans for whole models: within budget, best, and honest about MACs and errors."""

from fnmatch import fnmatch
from itertools import pairwise, product
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.low_rank import LayerPlan, RankPlan, apply_plan, collect_moments, select_ranks
from trashlite.compression.low_rank.factorise import compose, relative_error
from trashlite.compression.low_rank.layers import grouped_weight
from trashlite.errors import UserError

POLICIES = [
    {"policy": "ratio", "ratio": 0.4},
    {"policy": "energy", "energy": 0.7},
    {"policy": "budget", "budget": 0.6},
]


def backbone(name: str = "mobilenetv3_small_050") -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=9).eval()


def total_macs(model: nn.Module, x: torch.Tensor) -> int:
    return sum(cost.macs for cost in measure_layers(model, x).values())


def total_error(plan: RankPlan) -> float:
    return sum(layer.error**1.5 for layer in plan.layers.values())


@pytest.mark.parametrize("settings", POLICIES, ids=lambda settings: settings["policy"])
@pytest.mark.parametrize("aware", [False, True])
def test_plan_says_what_the_model_becomes(settings: dict, aware: bool) -> None:
    model, x = backbone(), torch.randn(8, 3, 48, 48)
    moments = collect_moments(model, [x]) if aware else None
    plan = select_ranks(model, x, moments=moments, **settings)
    small = apply_plan(model, plan, moments)
    assert plan.macs_before == total_macs(model, x)
    assert plan.macs_after == total_macs(small, x) < plan.macs_before
    linear = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert plan.layers.keys() | plan.skipped.keys() == linear
    assert not plan.layers.keys() & plan.skipped.keys()
    for name, entry in plan.layers.items():
        assert entry.macs_after < entry.macs_before
        dense = grouped_weight(model.get_submodule(name))
        factors = [part.weight.detach().double() for part in small.get_submodule(name)]
        factors = [factor.reshape(*factor.shape[:2], *(factor.shape[2:] or (1, 1))) for factor in factors]
        error = relative_error(dense, compose(factors, dense.shape[0]), moments and moments[name])
        assert error == pytest.approx(entry.error, abs=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3_small_050",
        "lcnet_035",
        pytest.param("ghostnet_050", marks=pytest.mark.slow),
        pytest.param("mobilenetv4_conv_small_035", marks=pytest.mark.slow),
        pytest.param("efficientvit_b0", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("aware", [False, True])
def test_budget_is_kept_and_used(name: str, aware: bool) -> None:
    model, x = backbone(name), torch.randn(8, 3, 64, 64)
    moments = collect_moments(model, [x]) if aware else None
    errors = []
    for share in (0.35, 0.5, 0.7, 0.9, 1.0):
        plan = select_ranks(model, x, budget=share, moments=moments)
        assert 0.98 * share * plan.macs_before <= plan.macs_after <= share * plan.macs_before
        errors.append(total_error(plan))
    assert all(after <= before + 1e-9 for before, after in pairwise(errors))
    assert not plan.layers


def test_absolute_budget_equals_its_share() -> None:
    model, x = backbone(), torch.randn(1, 3, 32, 32)
    share = select_ranks(model, x, budget=0.5)
    assert select_ranks(model, x, budget=float(int(0.5 * share.macs_before))) == share


def test_budget_plan_is_the_best_of_all() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 10, 1))
    x = torch.randn(1, 6, 4, 4)
    spectra = {name: torch.linalg.svdvals(model[int(name)].weight.detach().flatten(1)).square() for name in "024"}
    channels = {"0": 14, "2": 14, "4": 16}
    dense = {"0": 48, "2": 48, "4": 60}

    def cost_and_error(name: str, rank: int) -> tuple[int, float]:
        if rank == 0:
            return dense[name], 0.0
        return rank * channels[name], float(spectra[name][rank:].sum() / spectra[name].sum()) ** 0.75

    for share in (0.45, 0.6, 0.75, 0.9):
        plan = select_ranks(model, x, budget=share)
        best = min(
            sum(error for _, error in picks)
            for ranks in product(range(7), repeat=3)
            for picks in [[cost_and_error(name, rank) for name, rank in zip("024", ranks, strict=True)]]
            if sum(cost for cost, _ in picks) <= share * 156
        )
        assert total_error(plan) == pytest.approx(best, rel=1e-5)


def test_budget_beats_the_blind_policies_at_their_own_macs() -> None:
    model, x = backbone(), torch.randn(8, 3, 48, 48)
    for settings in POLICIES[:2]:
        blind = select_ranks(model, x, kinds={"conv": "tucker"}, **settings)
        best = select_ranks(model, x, budget=float(blind.macs_after + 1))
        assert total_error(best) <= total_error(blind) * (1 + 1e-6)


def test_out_of_reach_budget_says_what_is_in_reach() -> None:
    model, x = backbone(), torch.randn(1, 3, 32, 32)
    with pytest.raises(UserError, match=r"cannot be reached: the ranks allowed here go down to ([\d,]+)") as caught:
        select_ranks(model, x, budget=1000.0)
    least = int(str(caught.value).split("go down to ")[1].split()[0].replace(",", ""))
    assert select_ranks(model, x, budget=float(least)).macs_after == least


@pytest.mark.parametrize("aware", [False, True])
def test_each_group_of_layers_keeps_its_own_budget(aware: bool) -> None:
    model, x = backbone(), torch.randn(8, 3, 64, 64)
    moments = collect_moments(model, [x]) if aware else None
    budgets = {"blocks.3.0.*": 0.9, "blocks.3.*": 0.5, "blocks.4.*": 0.7, "conv_head": 2e4}
    plan = select_ranks(model, x, budget=budgets, moments=moments)
    costs = measure_layers(model, x)
    left = set(costs)
    for pattern, budget in budgets.items():  # the first pattern that matches a layer counts
        group = {name for name in left if fnmatch(name, pattern)}
        left -= group
        dense = sum(costs[name].macs for name in group)
        saved = sum(entry.macs_before - entry.macs_after for name, entry in plan.layers.items() if name in group)
        limit = budget if budget > 1 else budget * dense
        assert 0.95 * limit <= dense - saved <= limit, pattern
    assert not left & plan.layers.keys()
    # Within a group, as good as the budget of a model that may only change there.
    others = [name for name in costs if not fnmatch(name, "blocks.4.*")]
    total, part = plan.macs_before, sum(cost.macs for name, cost in costs.items() if name not in others)
    alone = select_ranks(model, x, budget=float(total - int(0.3 * part)), moments=moments, exclude=others)
    ours = sum(entry.error**1.5 for name, entry in plan.layers.items() if name not in others)
    assert ours == pytest.approx(total_error(alone), rel=0.01)


def test_a_group_without_layers_or_out_of_reach_is_named() -> None:
    model, x = backbone(), torch.randn(1, 3, 32, 32)
    with pytest.raises(UserError, match=r"'blocks\.99\.\*', which matches no layer"):
        select_ranks(model, x, budget={"blocks.99.*": 0.5})
    with pytest.raises(UserError, match=r"MACs for blocks\.3\.\* cannot be reached"):
        select_ranks(model, x, budget={"blocks.3.*": 0.01})


def test_options_are_heeded() -> None:
    model, x = backbone("mobilenetv4_conv_small_035"), torch.randn(1, 3, 32, 32)
    plan = select_ranks(model, x, budget=0.6, exclude=["classifier", "blocks.0.*"], multiple=4, min_rank=8)
    assert plan.skipped["classifier"] == "left out by the user"
    assert not [name for name in plan.layers if name.startswith("blocks.0.")]
    assert all(rank >= 8 and rank % 4 == 0 for entry in plan.layers.values() for rank in entry.ranks if rank != 3)
    only = select_ranks(model, x, "ratio", kinds={"conv": "spatial", "depthwise": (), "pointwise": ()})
    assert {entry.kind for name, entry in only.layers.items() if name != "classifier"} == {"spatial"}
    assert "no kind is allowed for pointwise layers" in only.skipped.values()


def test_a_layer_whose_macs_would_not_fall_is_skipped() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 100))
    plan = select_ranks(model, torch.randn(1, 8), "ratio", ratio=0.9)
    assert list(plan.layers) == ["1"]
    assert plan.skipped["0"] == "svd [7] would not lower its MACs: 64 to 112"


def test_a_given_plan_is_measured(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 4)), torch.randn(1, 10)
    path = tmp_path / "plan.yaml"
    path.write_text("layers: {'0': {kind: svd, ranks: [2]}}")
    plan = select_ranks(model, x, "plan", plan=path)
    values = torch.linalg.svdvals(model[0].weight.detach().double())
    assert plan.layers["0"] == LayerPlan("svd", (2,), 100, 40, pytest.approx(float(values[2:].norm() / values.norm())))
    assert (plan.macs_before, plan.macs_after, plan.skipped) == (140, 80, {"1": "not in the plan"})
    with pytest.raises(UserError, match="'5' cannot be factorised: the model has no such layer"):
        select_ranks(model, x, "plan", plan=RankPlan({"5": LayerPlan("svd", (2,))}))


def test_a_layer_that_the_network_looks_into_is_left_alone() -> None:
    """As EdgeNeXt does with a projection: there is no weight on the chain that would take its place."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(10, 10), nn.Linear(10, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).to(self.second.weight.dtype))

    model, x = Net(), torch.randn(1, 10)
    plan = select_ranks(model, x, "ratio", ratio=0.2)
    assert list(plan.layers) == ["first"]
    assert plan.skipped == {"second": "the network reads its weight or settings elsewhere too"}
    assert apply_plan(model, plan)(x).shape == (1, 10)
    with pytest.raises(UserError, match="'second' cannot be factorised: the network reads its weight"):
        select_ranks(model, x, "plan", plan=RankPlan({"second": LayerPlan("svd", (2,))}))


def test_dead_layers_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10, bias=False))
    nn.init.constant_(model[0].bias, -100.0)
    x = torch.randn(20, 10)
    plan = select_ranks(model, x, budget=0.7, moments=collect_moments(model, [x]))
    assert plan.skipped.keys() <= {"0", "2"}
    assert all(0 <= entry.error <= 1 for entry in plan.layers.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "magic"}, "unknown policy 'magic'; choose from ratio"),
        ({"policy": "ratio", "ratio": 0.0}, "ratio=0"),
        ({"policy": "ratio", "ratio": {"svd": 1.5}}, "ratio=1.5"),
        ({"policy": "energy", "energy": 1.1}, "energy=1.1"),
        ({"budget": -3.0}, "budget=-3"),
        ({"budget": {"*": 0.0}}, "budget=0"),
        ({"multiple": 0}, "multiple=0"),
        ({"weights": {"block.*": 2.0}}, r"weights has 'block\.\*', which matches no layer"),
        ({"policy": "plan"}, "needs plan="),
    ],
)
def test_mistakes_are_told(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        select_ranks(nn.Linear(4, 4), torch.randn(1, 4), **settings)
