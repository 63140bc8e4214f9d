"""Paths that a run reads, checked in its first second: before torch is imported and before a folder is made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trashlite.errors import UserError

INPUTS = (
    "fit",
    "show_data",
    "resume",
    "checkpoint",
    "lightning_module.teacher",
    "lightning_module.alpha",
    "backbone.weights",
    "backbone.pretrained",
    "callbacks.low_rank.policy",
    "callbacks.slimming.budget",
    "datamodule.relabel",
)
TEACHER = (
    "Train one (python run.py experiment=teacher datamodule.root=PATH: 17 minutes on two idle cores) and give "
    "lightning_module.teacher=<its run folder>/checkpoints/best.ckpt, or go without: lightning_module.alpha=1 learns "
    "from the labels alone, which costs F1. Networks that are trained already lie in results/ (see the README)."
)


def check_inputs(settings: Mapping[str, Any]) -> None:
    """Check that the checkpoints and weights a configuration names are there.

    Args:
        settings: plain values under the dotted keys of `INPUTS`; `???` where one is still missing.

    Raises:
        UserError: one is not there, and how to come by it.
    """
    fit = settings["fit"] and not settings["show_data"]
    if settings["resume"]:
        if not fit:
            raise UserError(
                f"resume={settings['resume']} goes on with training, which fit=false forbids. To evaluate a trained "
                "model or submit with it: fit=false checkpoint=<run folder>/checkpoints/best.ckpt."
            )
        check_checkpoint("resume", settings["resume"])
        if Path(settings["resume"]).resolve().parent.name != "checkpoints":  # of its run's folder, which is written to
            raise UserError(
                f"resume={settings['resume']} goes on in its run's folder: give <run folder>/checkpoints/last.ckpt, or "
                f"begin a new run from these weights with checkpoint={settings['resume']}."
            )
        return  # all else comes from the stopped run
    if settings["checkpoint"]:
        check_checkpoint("checkpoint", settings["checkpoint"])
    elif not settings["fit"] and not settings["show_data"]:
        raise UserError("fit=false needs a trained model: checkpoint=PATH, e.g. <run folder>/checkpoints/best.ckpt.")
    alpha, teachers = settings["lightning_module.alpha"], settings["lightning_module.teacher"]
    if fit and alpha not in (None, 1):
        for teacher in teachers if isinstance(teachers, list) else [teachers]:
            check_checkpoint("lightning_module.teacher", teacher, TEACHER)
    weights = settings["backbone.weights"]
    if fit and not (settings["checkpoint"] or weights or settings["backbone.pretrained"]):
        check_trained(settings)
    if weights and not Path(weights).expanduser().is_file():
        raise UserError(f"backbone.weights={weights}: there is no such file.")
    relabel = settings["datamodule.relabel"]
    if relabel and not Path(relabel).expanduser().is_file():
        raise UserError(
            f"datamodule.relabel={relabel}: there is no such file. It is a CSV with the columns file,label."
        )


def check_trained(settings: Mapping[str, Any]) -> None:
    """Check that weights which training has not touched are not compressed.

    Raises:
        UserError: they would be.
    """
    if settings["callbacks.slimming.budget"]:
        raise UserError(
            "There are no channels to choose among in random weights: give checkpoint=PATH of a trained model."
        )
    if settings["callbacks.low_rank.policy"]:
        raise UserError("There is nothing to decompose in random weights: give checkpoint=PATH of a trained model.")


def check_checkpoint(key: str, path: Any, hint: str = "") -> None:
    """Check that `key`'s file exists; the message names those that lie where it was looked for."""
    if path in (None, "???"):
        raise UserError(f"{key}=PATH of a trained model is missing. {hint or 'docs/recipes.md tells which one it is.'}")
    if Path(path).is_file():
        return
    if "<" in path:  # an experiment's placeholder
        raise UserError(
            f"{key}=PATH of a trained model is missing: {path}, which is not shipped. docs/recipes.md has the commands "
            "in their order; networks that are trained already lie in results/ (see the README)."
        )
    beside = sorted(file.name for file in Path(path).parent.glob("*.ckpt"))
    there = f"Its folder holds {', '.join(beside)}." if beside else ""
    usual = "A run leaves its own under <run folder>/checkpoints/best.ckpt."
    raise UserError(f"There is no checkpoint {path} ({key}). {there or hint or usual}")
