"""Read what a checkpoint says about itself, and let it speak for settings the command line leaves open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trashlite.errors import UserError

EXPERIMENTS = Path(__file__).resolve().parents[1] / "conf" / "experiment"


def adopt_checkpoint(cfg: DictConfig, checkpoint: dict[str, Any], overrides: list[str]) -> DictConfig:
    """Fill `cfg` from a checkpoint: backbone, preprocessing, class names and data, unless `overrides` name them.

    Args:
        cfg: the composed configuration; a changed copy is returned.
        checkpoint: from `read_checkpoint`.
        overrides: those of the command line, such as `datamodule.root=PATH`; an `experiment` counts with all it sets.

    Raises:
        UserError: `overrides` ask for another backbone than the checkpoint's.
    """
    keys = override_keys(overrides)
    for override in overrides:
        if override.startswith("experiment="):  # what a recipe sets counts as if it stood on the command line
            keys |= overlay_keys(override.removeprefix("experiment="))
    hparams, composed = checkpoint["hyper_parameters"], cfg
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)

    name = hparams["backbone"]["name"]
    if any(key.split(".")[0] == "backbone" for key in keys) and cfg.backbone.name != name:
        raise UserError(
            f"The checkpoint holds a {name}, but the command asks for backbone {cfg.backbone.name}. Leave `backbone` "
            "out, or use backbone.weights=PATH instead of checkpoint=PATH to load whatever fits."
        )
    cfg.backbone = hparams["backbone"]
    if not keys & {"datamodule", "datamodule.root"} and "config" in checkpoint:
        cfg.datamodule = checkpoint["config"]["datamodule"]
        copy_keys(composed, cfg, {key for key in keys if key.startswith("datamodule.")})
    for key in ("image_size", "resize_mode"):
        if key not in keys:
            cfg[key] = hparams["preprocessing"][key]
    if "resize_kernel" not in keys:
        cfg.resize_kernel = hparams["preprocessing"].get("kernel", "bilinear")
    if "resize_kernel" not in cfg.datamodule:  # of a checkpoint that was made before there was a choice
        cfg.datamodule.resize_kernel = "${resize_kernel}"
    for key in ("mean", "std"):
        cfg.datamodule[key] = hparams["preprocessing"][key]
    cfg.datamodule.class_names = hparams["class_names"]
    return cfg


def resumed_config(cfg: DictConfig, checkpoint: dict[str, Any], overrides: list[str]) -> DictConfig:
    """Return the configuration of the stopped run, changed only where `overrides` say so.

    Raises:
        UserError: the checkpoint was written by no run of `run.py`.
    """
    if "config" not in checkpoint:
        raise UserError(f"resume={cfg.resume} holds no configuration: give the checkpoints/last.ckpt of a run.")
    resumed = OmegaConf.create(checkpoint["config"])
    copy_keys(cfg, resumed, override_keys(overrides))
    return resumed


def override_keys(overrides: list[str]) -> set[str]:
    """The keys that the command line sets: `+trainer.max_epochs=3` gives `trainer.max_epochs`."""
    return {override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides}


def overlay_keys(name: str) -> set[str]:
    """The keys that an experiment of ours sets, those of the experiments it builds upon included."""
    path = EXPERIMENTS / f"{name}.yaml"
    if not path.is_file():
        return set()
    overlay: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(path))  # type: ignore[assignment]
    keys = set()
    for entry in overlay.pop("defaults", []):
        if isinstance(entry, str):
            keys |= overlay_keys(entry)
        else:
            keys |= {group.removeprefix("override ").lstrip("/") for group in entry}
    return keys | set(_leaves(overlay))


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


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
