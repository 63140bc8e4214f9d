"""Search space of `+sweep=ranks`: the budget of a trained network, and how dear the errors of each stage are.

Ranks themselves would be a poor space: most of them save nothing. Here each point is a plan of policy=sensitivity, and
where all weights are 1 it is the plan itself.
"""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from optuna import Trial
from torch import nn

from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.low_rank.candidates import list_candidates
from trashlite.compression.low_rank.layers import allowed_kinds, factorisable, layer_type
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint

STEP = 0.05
HIGHEST = 0.9  # share of the dense MACs
STARTS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
NEIGHBOURS = (0.7, 0.5)  # shares whose plans are tried with one stage dearer, and cheaper
WEIGHTS = (0.25, 4.0)
WORTHWHILE = 0.01  # share of the network's MACs: of what costs less the weight is 1


def stage_weights(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides with a budget and a weight for the loss of each stage.

    Args:
        cfg: a configuration with `checkpoint`; of `callbacks.low_rank` it takes what limits the ranks.

    Raises:
        UserError: no checkpoint, or nothing in it can be factorised.
    """
    return draw_weights(cfg, trial, stage_pattern)


def layer_weights(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """As `stage_weights`, with a weight for each layer."""
    return draw_weights(cfg, trial, str)


def sensitivity_plans(cfg: DictConfig) -> list[dict[str, Any]]:
    """Points to begin with: the plans of policy=sensitivity, from nearly all MACs down to few, and their neighbours.

    A neighbour has twice or half the weight for one stage.
    """
    patterns, least = stages_of(cfg, stage_pattern)
    plans = {share: {"budget": share, **dict.fromkeys(patterns, 1.0)} for share in STARTS if share >= least}
    near = [
        plans[share] | {pattern: weight}
        for share in NEIGHBOURS
        if share in plans
        for pattern in patterns
        for weight in (2.0, 0.5)
    ]
    return [*plans.values(), *near]


def stage_pattern(layer: str) -> str:
    """Shell pattern of the stage of a layer: `blocks.0.*`, `stage2.*`; a layer outside of stages is its own."""
    parts = layer.split(".")
    depth = 2 if parts[0] in ("blocks", "stages") else 1  # timm's names of what holds the stages
    return ".".join([*parts[:depth], "*"]) if len(parts) > depth else layer


def draw_weights(cfg: DictConfig, trial: Trial, pattern_of: Callable[[str], str]) -> dict[str, Any]:
    """A budget that can be reached, and a weight for each pattern."""
    patterns, least = stages_of(cfg, pattern_of)
    budget = round(trial.suggest_float("budget", least, HIGHEST, step=STEP), 2)
    weights = {pattern: round(trial.suggest_float(pattern, *WEIGHTS, log=True), 3) for pattern in patterns}
    return {"callbacks.low_rank.budget": budget, "callbacks.low_rank.weights": weights}


def stages_of(cfg: DictConfig, pattern_of: Callable[[str], str]) -> tuple[list[str], float]:
    """The patterns that a weight is drawn for, and the least share of all MACs that ranks allow, in steps."""
    if not cfg.checkpoint:
        raise UserError("A search for ranks needs a trained model: checkpoint=<run folder>/checkpoints/best.ckpt.")
    network, image_size = trained_network(cfg.checkpoint)
    settings: Any = OmegaConf.to_container(cfg.callbacks.low_rank, resolve=False)
    limits = {key: settings[key] for key in ("kinds", "exclude", "multiple", "min_rank")}
    dense: dict[str, int] = {}
    least: dict[str, int] = {}
    for name, (macs, least_macs) in layer_macs(network, image_size, **limits).items():
        pattern = pattern_of(name)
        dense[pattern] = dense.get(pattern, 0) + macs
        least[pattern] = least.get(pattern, 0) + least_macs
    total = sum(dense.values())
    low = STEP * (int(sum(least.values()) / total / STEP) + 1)
    patterns = [key for key in dense if least[key] < dense[key] and dense[key] >= WORTHWHILE * total]
    if not patterns or low > HIGHEST:
        raise UserError(f"Nothing in {cfg.checkpoint} can be factorised within callbacks.low_rank: {limits}.")
    return patterns, round(low, 2)


def trained_network(checkpoint: str) -> tuple[nn.Module, list[int]]:
    """The network of a checkpoint and the height and width of its images."""
    content = read_checkpoint(checkpoint)
    return load_network(content), content["hyper_parameters"]["preprocessing"]["image_size"]


def layer_macs(
    network: nn.Module, image_size: list[int], kinds: Any, exclude: list[str], multiple: int, min_rank: int
) -> dict[str, tuple[int, int]]:
    """MACs of each convolution and linear layer: dense, and the least to which it can be factorised."""
    image = torch.zeros(1, 3, *image_size)
    costs = measure_layers(network, image)
    layers, _ = factorisable(network, costs, image, exclude)
    allowed = allowed_kinds(kinds)
    least = {name: cost.macs for name, cost in costs.items()}
    for name, layer in layers.items():
        candidates = list_candidates(layer, costs[name], allowed[layer_type(layer)], None, multiple, min_rank)
        if candidates:
            least[name] = candidates[0].macs
    return {name: (cost.macs, least[name]) for name, cost in costs.items()}
