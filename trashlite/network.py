"""Networks rebuilt from the plain data of a checkpoint: backbone, rank plan, weights."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from torch import nn

from trashlite.backbones import create_backbone
from trashlite.compression.low_rank import RankPlan, apply_plan
from trashlite.errors import UserError

PREFIX = "model."  # of the network's tensors in the state_dict of the LightningModule


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of one of our checkpoints, on the CPU.

    Raises:
        UserError: there is no such file, it is broken, or it is no checkpoint of a TrashClassifier.
    """
    if not Path(path).is_file():
        raise UserError(
            f"There is no checkpoint {path}. A run leaves its own under <run folder>/checkpoints/best.ckpt."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, BadZipFile, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The checkpoint {path} cannot be read ({reason}). Is it complete?") from error
    if not isinstance(checkpoint, dict) or "class_names" not in checkpoint.get("hyper_parameters", {}):
        raise UserError(
            f"{path} is no checkpoint of this project: it holds no class names. "
            "Plain weights of a backbone are loaded with backbone.weights=PATH."
        )
    return checkpoint


def build_network(
    backbone: Mapping[str, Any], num_classes: int, rank_plan: Mapping[str, Any] | None = None
) -> nn.Module:
    """Network of a backbone's settings (`name`, `kwargs`, `pretrained`, `weights`).

    Args:
        rank_plan: of `RankPlan.to_dict`: the network is this factorisation of the backbone, with factors still zero.

    Raises:
        UserError: the backbone cannot be built, or the plan does not fit it.
    """
    network = create_backbone(
        backbone["name"],
        num_classes=num_classes,
        kwargs=backbone["kwargs"],
        pretrained=backbone["pretrained"],
        weights=backbone["weights"],
    )
    if rank_plan is not None:
        network = apply_plan(network, RankPlan.from_dict(rank_plan), initialise=False)
    return network


def load_network(checkpoint: Mapping[str, Any]) -> nn.Module:
    """Network of a checkpoint with its weights, in eval mode on the CPU.

    Args:
        checkpoint: from `read_checkpoint`.
    """
    settings = checkpoint["hyper_parameters"]
    network = build_network(settings["backbone"], len(settings["class_names"]), settings["rank_plan"])
    state = checkpoint["state_dict"]
    network.load_state_dict({name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)})
    return network.eval()
