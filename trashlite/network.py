"""Networks rebuilt from the plain data of a checkpoint: backbone, plans of compression, weights."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from trashlite.backbones import create_backbone
from trashlite.compression import (
    ChannelPlan,
    MacsReport,
    RankPlan,
    apply_channel_plan,
    apply_plan,
    count_macs,
    fold_batchnorm,
)
from trashlite.errors import UserError
from trashlite.files import damaged_part
from trashlite.settings.checkpoint import check_content

REQUIRED = frozenset({"backbone", "class_names", "preprocessing"})  # settings without which nothing can be rebuilt
PREFIX = "model."  # of the network's tensors in the state_dict of the LightningModule


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of one of our checkpoints, on the CPU. It is plain data: nothing in it is run or looked up.

    Raises:
        UserError: there is no such file, it is damaged, its weights are not numbers, or it is no checkpoint of a
            TrashClassifier.
    """
    if not Path(path).is_file():
        raise UserError(
            f"There is no checkpoint {path}. A run leaves its own under <run folder>/checkpoints/best.ckpt."
        )
    try:
        if damaged := damaged_part(Path(path)):  # torch writes checksums, but does not look at them
            raise UserError(f"The checkpoint {path} is damaged: {damaged} in it has changed since it was written.")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, BadZipFile, EOFError, LookupError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        if isinstance(
            error, UnpicklingError | LookupError
        ):  # messages that tell nothing, or advise to run what is in it
            raise UserError(f"{path} is no checkpoint, or holds more than plain data: it is not read.") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"The checkpoint {path} cannot be read ({reason}). Is it complete?") from error
    hparams = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(hparams, dict) or not isinstance(state, dict) or not hparams.keys() >= REQUIRED:
        raise UserError(
            f"{path} is no checkpoint of this project: it lacks weights, backbone, class names or preprocessing. "
            "Plain weights of a backbone are loaded with backbone.weights=PATH."
        )
    check_plain(hparams, f"hyper_parameters of {path}")
    check_content(checkpoint, path)
    ranks = hparams.pop("rank_plan", None)  # of earlier versions, which kept no other plan
    hparams.setdefault("plans", [{"ranks": ranks}] if ranks else [])
    # All weights are in the file: nothing else is to be read or fetched for it.
    hparams["backbone"] = {**hparams["backbone"], "pretrained": False, "weights": None}
    check_finite(state, path)
    return checkpoint


def check_plain(value: Any, where: str) -> None:
    """Check that data of a file are values only, which no configuration could take for a call or a reference.

    Raises:
        UserError: a key begins with `_`, a text holds `${`, or there is something else than numbers, texts and
            containers of them.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or key.startswith("_"):
                raise UserError(f"{where}: {key!r} is no setting of this project.")
            check_plain(item, f"{where}, {key}")
    elif isinstance(value, list | tuple):
        for item in value:
            check_plain(item, where)
    elif isinstance(value, str):
        if "${" in value:
            raise UserError(f"{where}: {value!r} is a reference, not a value.")
    elif not isinstance(value, bool | int | float | None):
        raise UserError(f"{where}: a {type(value).__name__} is no setting.")


def check_finite(state: Mapping[str, Any], source: str | Path) -> None:
    """Check weights for NaN and infinity, with which every image would get the same class.

    Raises:
        UserError: there are some, or something else than plain tensors.
    """
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and value.is_cpu):
            raise UserError(f"The weights of {source} are not plain tensors: {str(name)[:80]} is none.")
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point() or tensor.is_complex()}
    broken = [name for name, tensor in floats.items() if not tensor.isfinite().all()]
    if broken:
        raise UserError(
            f"The weights of {source} are not finite numbers ({len(broken)} of {len(state)} tensors, the first "
            f"{broken[0]}): that training diverged."
        )


def build_network(backbone: Mapping[str, Any], num_classes: int, plans: Sequence[Mapping[str, Any]] = ()) -> nn.Module:
    """Network of a backbone's settings (`name`, `kwargs`, `pretrained`, `weights`).

    Args:
        plans: of `add_plan`: the network is what they make of the backbone, with factors still zero.

    Raises:
        UserError: the backbone cannot be built, or a plan does not fit it.
    """
    network = create_backbone(
        backbone["name"],
        num_classes=num_classes,
        kwargs=backbone["kwargs"],
        pretrained=backbone["pretrained"],
        weights=backbone["weights"],
    )
    for plan in read_plans(plans):
        if isinstance(plan, ChannelPlan):
            network = apply_channel_plan(network, plan)
        else:
            network = apply_plan(network, plan, initialise=False)
    return network


def read_plans(plans: Sequence[Mapping[str, Any]]) -> list[ChannelPlan | RankPlan]:
    """Plans from plain data, in the order in which they are applied.

    Raises:
        UserError: something else.
    """
    if not isinstance(plans, list | tuple):
        raise UserError(f"plans of compression are a list, not a {type(plans).__name__}")
    found: list[ChannelPlan | RankPlan] = []
    for entry in plans:
        match entry:
            case {"channels": plan, **rest} if not rest:
                found.append(ChannelPlan.from_dict(plan))
            case {"ranks": plan, **rest} if not rest:
                found.append(RankPlan.from_dict(plan))
            case _:
                raise UserError(f"a plan of compression is `channels: …` or `ranks: …`, not {entry!r:.100}")
    return found


def add_plan(plans: Sequence[Mapping[str, Any]], plan: ChannelPlan | RankPlan) -> list[dict[str, Any]]:
    """Plain data of plans and of one more, made for the network that they give."""
    whole = read_plans(plans)
    match (whole[-1] if whole else None), plan:
        case (ChannelPlan() as last, ChannelPlan()) | (RankPlan() as last, RankPlan()):
            whole[-1] = last.then(plan)  # type: ignore[arg-type]
        case _:
            whole.append(plan)
    return [{"channels" if isinstance(each, ChannelPlan) else "ranks": each.to_dict()} for each in whole]


def count_new(
    name: str, kwargs: Mapping[str, Any], num_classes: int, image_size: Sequence[int], *, fold: bool
) -> MacsReport:
    """MACs of a backbone before anything is trained, with BatchNorm folded or not; torch's random state stays."""
    with torch.random.fork_rng(devices=[]):
        network = create_backbone(name, num_classes, kwargs=kwargs)
    input_size = (3, *image_size)
    return count_macs(fold_batchnorm(network, input_size) if fold else network, input_size)


def load_network(checkpoint: Mapping[str, Any]) -> nn.Module:
    """Network of a checkpoint with its weights, in eval mode on the CPU.

    Args:
        checkpoint: from `read_checkpoint`.

    Raises:
        UserError: the network cannot be built, its plans leave layers that do not fit together, or it gives no numbers.
    """
    settings = checkpoint["hyper_parameters"]
    try:
        network = build_network(settings["backbone"], len(settings["class_names"]), settings.get("plans", ()))
    except (RuntimeError, MemoryError) as error:
        raise UserError(f"The checkpoint's network cannot be built: {_reason(error)}") from error
    state = checkpoint["state_dict"]
    fill(network, {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)})
    size = (1, 3, *settings["preprocessing"]["image_size"])
    try:
        with torch.no_grad():
            logits = network.eval()(torch.linspace(-1, 1, math.prod(size)).view(size))
    except (RuntimeError, ValueError, LookupError, AttributeError, AssertionError, TypeError) as error:
        raise UserError(f"The checkpoint's network does not run on images of its own size: {_reason(error)}") from error
    if not logits.isfinite().all():
        raise UserError("The checkpoint's network gives no finite numbers: that training diverged.")
    return network


def fill(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Load weights, all of them.

    Raises:
        UserError: they do not fit.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"The checkpoint's weights do not fit the network that it describes: {_reason(error)}"
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
