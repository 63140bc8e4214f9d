"""Choose the ranks of a whole model."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn

from trashlite.compression.layer_costs import LayerCost, measure_layers
from trashlite.compression.low_rank.candidates import Candidate, list_candidates
from trashlite.compression.low_rank.factorise import compose, factorise, output_energy, relative_error
from trashlite.compression.low_rank.knapsack import choose_options
from trashlite.compression.low_rank.layers import (
    Kind,
    Layer,
    LayerType,
    allowed_kinds,
    factorisable,
    grouped_weight,
    layer_type,
)
from trashlite.compression.low_rank.macs import factorised_macs
from trashlite.compression.low_rank.plan import LayerPlan, RankPlan, check_layer
from trashlite.compression.low_rank.policies import energy_ranks, ratio_ranks, round_ranks
from trashlite.compression.low_rank.sensitivity import measure_sensitivity
from trashlite.errors import UserError

Policy = Literal["ratio", "energy", "budget", "sensitivity", "plan"]
# What the budget policy adds up over the layers is error ** 1.5. Of 1, 1.5 and 2 it kept most accuracy of a pretrained
# network at 70, 60 and 50 % of its MACs: errors of successive layers add up to more than independent ones would.
ERROR_POWER = 1.5
Choices = dict[str, tuple[Kind, tuple[int, ...]]]


def select_ranks(
    model: nn.Module,
    example_input: Tensor,
    policy: Policy = "budget",
    *,
    ratio: float | Mapping[str, float] = 0.5,
    energy: float = 0.9,
    budget: float | Mapping[str, float] = 0.6,
    weights: Mapping[str, float] | None = None,
    plan: RankPlan | str | Path | None = None,
    moments: Mapping[str, Tensor] | None = None,
    calibration: Iterable[tuple[Tensor, Tensor]] = (),
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    kinds: Mapping[str, Iterable[str] | str] | None = None,
    exclude: Iterable[str] = (),
    multiple: int = 1,
    min_rank: int = 1,
) -> RankPlan:
    """Ranks for every layer that can be factorised; the model is left as it is.

    Args:
        example_input: (N, C, H, W), on the model's device: MACs are for one image of this size.
        policy: `ratio` (this share of each full rank), `energy` (fewest ranks that keep this share of the squared
            singular values), `budget` (least sum of relative errors ** 1.5 within these MACs), `sensitivity` (least sum
            of the rises of the loss, see `measure_sensitivity`), `plan` (as given; MACs and errors worked out anew).
        ratio: one share, or one for each kind.
        budget: MACs of the whole model if above 1, else a share of the dense model's; or one for each group of layers,
            named by a shell pattern (`blocks.0.*`; the first that matches counts): other layers stay dense.
        weights: weight of the errors of a group of layers, named as in `budget`; of others: 1.
        moments: from `collect_moments`: errors are then of the outputs, not of the weights.
        calibration: (images, targets) batches for `sensitivity`; `loss(outputs, targets)` is a mean over a batch.
        kinds: kinds to consider for each layer type, see `layers.KINDS`: `budget` and `sensitivity` weigh all of them,
            the others take the first.
        exclude: layer names or shell patterns (`blocks.0.*`) to leave alone.
        multiple: ranks are multiples of this, or full.

    Raises:
        UserError: a setting is out of range, a weight is NaN, or the budget cannot be reached (says what can).
    """
    _check_settings(policy, ratio, energy, budget, multiple, min_rank)
    allowed = allowed_kinds(kinds)
    costs = measure_layers(model, example_input)
    if unmatched := [each for each in weights or {} if not any(fnmatchcase(name, each) for name in costs)]:
        raise UserError(f"low rank: weights has {unmatched[0]!r}, which matches no layer of {', '.join(costs)}")
    layers, skipped = factorisable(model, costs, example_input, exclude)
    known = {name: (moments or {}).get(name) for name in layers}
    layers = _leave_out(layers, skipped, allowed, known)

    def each(rule: Callable[[Tensor, Kind, Tensor | None], tuple[int, ...]]) -> Choices:
        """The rule's ranks for every layer by itself."""
        result: Choices = {}
        for name, layer in layers.items():
            kind, weight = allowed[layer_type(layer)][0], grouped_weight(layer)
            result[name] = kind, round_ranks(rule(weight, kind, known[name]), weight, kind, multiple, min_rank)
        return result

    match policy:
        case "plan":
            choices = _given_choices(plan, layers, skipped)
        case "budget" | "sensitivity":
            options = {
                name: list_candidates(layer, costs[name], allowed[layer_type(layer)], known[name], multiple, min_rank)
                for name, layer in layers.items()
            }
            if policy == "budget":
                losses = {name: [c.loss ** (ERROR_POWER / 2) for c in found] for name, found in options.items()}
            else:
                dense = {name: costs[name].macs for name in layers}
                losses = measure_sensitivity(model, options, dense, known, calibration, loss)
            losses = {
                name: [_weight_of(name, weights or {}) * rise for rise in found] for name, found in losses.items()
            }
            if isinstance(budget, Mapping):
                choices = _choose_by_group(options, losses, costs, budget)
            else:
                choices = _choose_under_budget(options, losses, costs, budget)
        case "ratio":
            choices = each(lambda weight, kind, _: ratio_ranks(weight, kind, ratio))
        case "energy":
            choices = each(lambda weight, kind, second: energy_ranks(weight, kind, second, energy))
    return _build_plan(layers, choices, costs, known, skipped)


def _weight_of(name: str, weights: Mapping[str, float]) -> float:
    return next((weight for pattern, weight in weights.items() if fnmatchcase(name, pattern)), 1.0)


def _check_settings(
    policy: str,
    ratio: float | Mapping[str, float],
    energy: float,
    budget: float | Mapping[str, float],
    multiple: int,
    min_rank: int,
) -> None:
    if policy not in get_args(Policy):
        raise UserError(f"low rank: unknown policy {policy!r}; choose from {', '.join(get_args(Policy))}")
    for share in ratio.values() if isinstance(ratio, Mapping) else [ratio]:
        if not 0 < share <= 1:
            raise UserError(f"low rank: ratio={share} must lie above 0 and be at most 1")
    if not 0 < energy <= 1:
        raise UserError(f"low rank: energy={energy} must lie above 0 and be at most 1")
    for limit in budget.values() if isinstance(budget, Mapping) else [budget]:
        if not limit > 0:
            raise UserError(f"low rank: budget={limit} must be MACs (above 1) or a share of the dense (up to 1)")
    if multiple < 1 or min_rank < 1:
        raise UserError(f"low rank: multiple={multiple} and min_rank={min_rank} must be at least 1")


def _leave_out(
    layers: Mapping[str, Layer],
    skipped: dict[str, str],
    allowed: Mapping[LayerType, tuple[Kind, ...]],
    known: Mapping[str, Tensor | None],
) -> dict[str, Layer]:
    """The layers with an allowed kind and an output; the others go to `skipped`."""
    for name, layer in layers.items():
        if not allowed[layer_type(layer)]:
            skipped[name] = f"no kind is allowed for {layer_type(layer)} layers"
        elif not output_energy(grouped_weight(layer), known[name]) > 0:
            skipped[name] = "its output is zero on the calibration images"
    return {name: layer for name, layer in layers.items() if name not in skipped}


def _given_choices(plan: RankPlan | str | Path | None, layers: Mapping[str, Layer], skipped: dict[str, str]) -> Choices:
    if plan is None:
        raise UserError("low rank: policy=plan needs plan=, a RankPlan or the path of its YAML file")
    if not isinstance(plan, RankPlan):
        plan = RankPlan.load(plan)
    for name, entry in plan.layers.items():
        if name not in layers:
            reason = skipped.get(name, f"the model has no such layer; it has {', '.join(layers)}")
            raise UserError(f"rank plan: layer {name!r} cannot be factorised: {reason}")
        check_layer(name, layers[name], entry)
    skipped.update({name: "not in the plan" for name in layers if name not in plan.layers})
    return {name: (entry.kind, entry.ranks) for name, entry in plan.layers.items()}


def _choose_by_group(
    options: Mapping[str, list[Candidate]],
    losses: Mapping[str, list[float]],
    costs: Mapping[str, LayerCost],
    budgets: Mapping[str, float],
) -> Choices:
    """As `_choose_under_budget`, for each pattern's layers by themselves."""
    left = dict(costs)
    choices: Choices = {}
    for pattern, budget in budgets.items():
        group = {name: left.pop(name) for name in costs if name in left and fnmatchcase(name, pattern)}
        if not group:
            raise UserError(f"low rank: budget has {pattern!r}, which matches no layer left of {', '.join(costs)}")
        inside = {name: found for name, found in options.items() if name in group}
        choices |= _choose_under_budget(inside, losses, group, budget, f" for {pattern}")
    return choices


def _choose_under_budget(
    options: Mapping[str, list[Candidate]],
    losses: Mapping[str, list[float]],
    costs: Mapping[str, LayerCost],
    budget: float,
    whose: str = "",
) -> Choices:
    """For each layer a candidate, or none to leave it dense: the least sum of losses within the budget."""
    total = sum(cost.macs for cost in costs.values())
    target = int(budget if budget > 1 else budget * total)
    names = [name for name in options if options[name]]
    fixed = total - sum(costs[name].macs for name in names)
    least = fixed + sum(options[name][0].macs for name in names)
    if target < least:
        raise UserError(
            f"low rank: a budget of {target:,} MACs{whose} cannot be reached: "
            f"the ranks allowed here go down to {least:,}"
            f" ({least / total:.1%} of the dense model's {total:,}), of which {fixed:,} lie in layers left alone"
        )
    choices = [
        [(costs[name].macs, 0.0), *zip((option.macs for option in options[name]), losses[name], strict=True)]
        for name in names
    ]
    picks = choose_options(choices, target - fixed)
    return {
        name: (options[name][pick - 1].kind, options[name][pick - 1].ranks)
        for name, pick in zip(names, picks, strict=True)
        if pick > 0
    }


def _build_plan(
    layers: Mapping[str, Layer],
    choices: Choices,
    costs: Mapping[str, LayerCost],
    moments: Mapping[str, Tensor | None],
    skipped: dict[str, str],
) -> RankPlan:
    total = after = sum(cost.macs for cost in costs.values())
    planned: dict[str, LayerPlan] = {}
    for name, layer in layers.items():
        if name not in choices:
            skipped.setdefault(name, "the budget is better spent on leaving it dense")
            continue
        kind, ranks = choices[name]
        macs = factorised_macs(layer, kind, ranks, costs[name])
        if macs >= costs[name].macs:
            skipped[name] = f"{kind} {list(ranks)} would not lower its MACs: {costs[name].macs:,} to {macs:,}"
            continue
        weight = grouped_weight(layer)
        product = compose(factorise(weight, kind, ranks, moments[name]), weight.shape[0])
        error = relative_error(weight, product, moments[name])
        planned[name] = LayerPlan(kind, ranks, costs[name].macs, macs, error)
        after += macs - costs[name].macs
    return RankPlan(planned, total, after, skipped)
