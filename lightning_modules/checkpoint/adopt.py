"""Settings that a checkpoint speaks for, where the command line leaves them open."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_modules.checkpoint.values import take_values
from trashlite.data.decode import kernel_of
from trashlite.errors import UserError
from trashlite.files import CONF
from trashlite.overrides import parse_override

log = logging.getLogger(__name__)

# Settings of a run that hold to its end: state of the optimizer was made with them, the best epoch chosen by them.
UNCHANGING = ("optimizer", "scheduler", "image_size", "resize_mode", "resize_kernel")


def adopt_checkpoint(cfg: DictConfig, checkpoint: dict[str, Any], overrides: list[str]) -> DictConfig:
    """Fill `cfg` from a checkpoint: backbone, preprocessing, class names and data, unless `overrides` name them.

    Args:
        cfg: the composed configuration; a changed copy is returned.
        checkpoint: from `read_checkpoint`.
        overrides: those of the command line, such as `datamodule.root=PATH`; overlays count with all they set.

    Raises:
        UserError: `overrides` ask for another backbone than the checkpoint's, or the checkpoint for more than values.
    """
    keys, composed = given_keys(overrides), cfg
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    if not keys & {"datamodule", "datamodule.root"} and "config" in checkpoint:
        ours = OmegaConf.to_container(composed.datamodule)
        cfg.datamodule = take_values(ours, checkpoint["config"].get("datamodule", {}), "datamodule")
        copy_keys(composed, cfg, {key for key in keys if key.startswith("datamodule.")})
    trained_on = checkpoint.get("config", {}).get("datamodule", {})
    if trained_on.get("split") == "all" and cfg.datamodule.get("split") != "all":
        log.warning(
            "checkpoint=%s was trained on train and val of %s (datamodule.split=all): what is measured on them is of "
            "images it has seen.",
            cfg.checkpoint,
            trained_on.get("root"),
        )
    adopt_network(cfg, composed, checkpoint["hyper_parameters"], overrides)
    return cfg


def resumed_config(cfg: DictConfig, checkpoint: dict[str, Any], overrides: list[str]) -> DictConfig:
    """The configuration of the stopped run, changed only where `overrides` say so.

    Raises:
        UserError: the checkpoint cannot be gone on with, or `overrides` ask for another backbone than its own, other
            settings of the optimizer, the schedule or the images, for weights besides its own, or for no average.
    """
    if "checkpoint" in override_keys(overrides) and cfg.checkpoint:
        raise UserError(f"resume={cfg.resume} goes on with its own weights: leave checkpoint={cfg.checkpoint} out.")
    if "config" not in checkpoint:
        raise UserError(f"resume={cfg.resume} holds no configuration: give the checkpoints/last.ckpt of a run.")
    if not {"optimizer_states", "loops"} <= checkpoint.keys():
        raise UserError(
            f"resume={cfg.resume} holds weights without the state of training: give a run's checkpoints/last.ckpt, or "
            f"begin a new run from these weights with checkpoint={cfg.resume}."
        )
    resumed = OmegaConf.create(take_values(OmegaConf.to_container(cfg), checkpoint["config"]))
    adopt_network(resumed, cfg, checkpoint["hyper_parameters"], [])
    before = unchanging(resumed)
    copy_keys(cfg, resumed, given_keys(overrides))
    adopt_network(resumed, cfg, checkpoint["hyper_parameters"], overrides)
    after = unchanging(resumed)
    # What an older checkpoint does not say is no contradiction.
    if changed := [key for key in sorted(before) if before[key] != after.get(key)]:
        key = "optimizer.name" if "optimizer.name" in changed else changed[0]
        raise UserError(
            f"resume={cfg.resume} was trained with {key}={before[key]} and cannot go on with {after.get(key)}. Leave "
            "out what sets it (that key, or an experiment), or begin a new run from these weights with "
            f"checkpoint={cfg.resume}."
        )
    if "current_model_state" in checkpoint and not resumed.callbacks.get("ema"):
        raise UserError(
            f"resume={cfg.resume} was trained with callbacks.ema: its weights are averages, with which the optimizer's "
            "state does not go on. Leave callbacks.ema=null out, or begin a new run from them with "
            f"checkpoint={cfg.resume}."
        )
    if is_finished(resumed, checkpoint):
        epochs = resumed.trainer.max_epochs
        log.info("The run has had its %d epochs: nothing is left to train. Its best checkpoint is evaluated.", epochs)
        resumed.logger.wandb = None  # it has its run in W&B already
    return resumed


def unchanging(cfg: DictConfig) -> dict[str, Any]:
    """Plain values of `UNCHANGING` by their dotted keys, and the kind of data."""
    found: Any = OmegaConf.to_container(cfg)
    return dict(leaves({key: found[key] for key in UNCHANGING})) | {"datamodule": found["datamodule"]["_target_"]}


def is_finished(cfg: DictConfig, checkpoint: dict[str, Any]) -> bool:
    """Whether a run to resume has no epoch left.

    Raises:
        UserError: it has had more epochs than it may have.
    """
    done, epochs = checkpoint["epoch"] + 1, cfg.trainer.max_epochs
    if isinstance(epochs, int) and 0 <= epochs < done:
        raise UserError(
            f"resume={cfg.resume} has trained {done} epochs, more than trainer.max_epochs={epochs}: give more "
            f"epochs, or begin a new run from these weights with checkpoint={cfg.resume}."
        )
    return done == epochs


def adopt_network(cfg: DictConfig, composed: DictConfig, hparams: Mapping[str, Any], overrides: list[str]) -> None:
    """Set in `cfg` what belongs to a network that exists: backbone, preprocessing, class names.

    Raises:
        UserError: `overrides` ask for another backbone.
    """
    keys = given_keys(overrides)
    check_backbone(composed, hparams["backbone"], keys, override_keys(overrides))
    preprocessing = hparams["preprocessing"]
    cfg.backbone = hparams["backbone"]
    settings = {
        "image_size": preprocessing["image_size"],
        "resize_mode": preprocessing["resize_mode"],
        "resize_kernel": kernel_of(preprocessing),
    }
    for key, value in settings.items():
        if key not in keys:
            cfg[key] = value
    for key in ("mean", "std"):
        cfg.datamodule[key] = preprocessing[key]
    cfg.datamodule.class_names = hparams["class_names"]


def check_backbone(composed: DictConfig, backbone: Mapping[str, Any], keys: set[str], typed: set[str]) -> None:
    """Check that what is asked for is the network that is there.

    Raises:
        UserError: another backbone, or another setting of it (`typed` on the command line), is asked for.
    """
    if any(key.split(".")[0] == "backbone" for key in keys) and composed.backbone.name != backbone["name"]:
        raise UserError(
            f"The checkpoint holds a {backbone['name']}, but the command asks for backbone {composed.backbone.name}. "
            "Leave `backbone` out, or use backbone.weights=PATH instead of checkpoint=PATH to load whatever fits."
        )
    for key in sorted(key for key in typed if key.startswith("backbone.")):
        asked, found = (
            OmegaConf.select(composed, key),
            OmegaConf.select(OmegaConf.create({"backbone": dict(backbone)}), key),
        )
        if asked != found and asked:
            raise UserError(
                f"{key}={asked} was asked for, but the network comes from the checkpoint, where it is {found}."
            )


def given_keys(overrides: list[str]) -> set[str]:
    """The keys that the command line sets, by itself or by overlays such as an experiment."""
    keys = override_keys(overrides)
    for override in overrides:
        group, _, name = override.lstrip("+").partition("=")
        keys |= overlay_keys(group, name)
    return keys


def override_keys(overrides: list[str]) -> set[str]:
    """The keys that the command line sets: `+trainer.max_epochs=3` gives `trainer.max_epochs`."""
    return {parse_override(override)[0].partition("@")[0] for override in overrides}


def overlay_keys(group: str, name: str) -> set[str]:
    """The keys that an overlay (`# @package _global_`) of ours sets, those of the overlays it builds upon included."""
    path = CONF / group / f"{name}.yaml"
    if not path.is_file() or not path.read_text(encoding="utf-8").startswith("# @package _global_"):
        return set()
    overlay: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[assignment]
    keys = set()
    for entry in overlay.pop("defaults", []):
        if isinstance(entry, str):
            keys |= overlay_keys(group, entry)
        else:
            keys |= {group.removeprefix("override ").lstrip("/") for group in entry}
    return keys | {key for key, _ in leaves(overlay)}


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values that are no dicts, by their dotted keys."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def copy_keys(source: DictConfig, target: DictConfig, keys: set[str]) -> None:
    """Copy the nodes of `source` under `keys` to `target`; names of overlays such as `experiment` have no node."""
    plain = OmegaConf.to_container(source)
    missing = object()
    for key in keys:
        value: Any = plain
        for part in key.split("."):
            value = value.get(part, missing) if isinstance(value, dict) else missing
        if value is not missing:
            OmegaConf.update(target, key, value, merge=False)
