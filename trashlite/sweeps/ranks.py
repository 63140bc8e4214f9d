"""The search space of `+sweep=ranks`: for each stage, or each layer, of a trained network the share of MACs to keep.

Ranks themselves would be a poor space: most of them save nothing. Each share below 1 does, and buys the least error.
"""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from optuna import Trial
from torch import nn

from trashlite.compression.low_rank.candidates import list_candidates
from trashlite.compression.low_rank.layers import allowed_kinds, find_layers, layer_type
from trashlite.compression.low_rank.macs import measure_layers
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint

STEP = 0.05
SHARES = [round(STEP * step, 2) for step in range(1, round(1 / STEP) + 1)]
WORTHWHILE = 0.01  # share of the network's MACs: what costs less stays dense


def stage_budgets(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides with a share of MACs for each stage; within a stage, `policy` spreads it over the layers.

    Args:
        cfg: a configuration with `checkpoint`; of `callbacks.low_rank` it takes what limits the ranks.

    Raises:
        UserError: no checkpoint, or nothing in it can be factorised.
    """
    return draw_budgets(cfg, trial, stage_pattern)


def layer_budgets(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """As `stage_budgets`, with a share for each layer."""
    return draw_budgets(cfg, trial, str)


def stage_pattern(layer: str) -> str:
    """Shell pattern of the stage of a layer: `blocks.0.*`, `stage2.*`; a layer outside of stages is its own."""
    parts = layer.split(".")
    depth = 2 if parts[0] in ("blocks", "stages") else 1  # timm's names of what holds the stages
    return ".".join([*parts[:depth], "*"]) if len(parts) > depth else layer


def draw_budgets(cfg: DictConfig, trial: Trial, pattern_of: Callable[[str], str]) -> dict[str, Any]:
    """One share for each pattern, from 1 in steps down to what the smallest ranks allow."""
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
    shares = {}
    for pattern, macs in dense.items():
        low = next(share for share in SHARES if int(share * macs) >= least[pattern])
        if low < 1 and macs >= WORTHWHILE * sum(dense.values()):
            shares[pattern] = round(trial.suggest_float(pattern, low, 1, step=STEP), 2)
    if not shares:
        raise UserError(f"Nothing in {cfg.checkpoint} can be factorised within callbacks.low_rank: {limits}.")
    return {"callbacks.low_rank.budget": shares}


def trained_network(checkpoint: str) -> tuple[nn.Module, list[int]]:
    """The network of a checkpoint and the height and width of its images."""
    content = read_checkpoint(checkpoint)
    return load_network(content), content["hyper_parameters"]["preprocessing"]["image_size"]


def layer_macs(
    network: nn.Module, image_size: list[int], kinds: Any, exclude: list[str], multiple: int, min_rank: int
) -> dict[str, tuple[int, int]]:
    """MACs of each convolution and linear layer: dense, and the least to which it can be factorised."""
    costs = measure_layers(network, torch.zeros(1, 3, *image_size))
    layers, _ = find_layers(network, {name: cost.calls for name, cost in costs.items()}, exclude)
    allowed = allowed_kinds(kinds)
    least = {name: cost.macs for name, cost in costs.items()}
    for name, layer in layers.items():
        candidates = list_candidates(layer, costs[name], allowed[layer_type(layer)], None, multiple, min_rank)
        if candidates:
            least[name] = candidates[0].macs
    return {name: (cost.macs, least[name]) for name, cost in costs.items()}
