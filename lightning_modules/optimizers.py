"""Optimizer and learning rate schedule of a training, by timm's names."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Trainer
from timm.optim import create_optimizer_v2, get_optimizer_class, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn

from trashlite.errors import UserError

# Those of timm that are a function of the step; `plateau` is not, and timm itself calls it deprecated.
SCHEDULERS = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant")


def check_optimizer(name: str) -> None:
    """Raise UserError unless timm has an optimizer of this name."""
    if name not in list_optimizers():
        raise UserError(f"Unknown optimizer.name={name!r}; choose one of {', '.join(map(str, list_optimizers()))}.")


def create_optimizer(network: nn.Module, settings: Mapping[str, Any], trainer: Trainer) -> torch.optim.Optimizer:
    """Optimizer of a network.

    Args:
        settings: `name`, `lr`, `weight_decay`, `kwargs`.

    Raises:
        UserError: there is none of this name, or it does not take these arguments.
    """
    name = settings["name"]
    check_optimizer(name)
    try:
        kwargs = fused(name, trainer) | settings["kwargs"]
        return create_optimizer_v2(network, name, lr=settings["lr"], weight_decay=settings["weight_decay"], **kwargs)
    except (TypeError, ValueError, AssertionError, ImportError) as error:
        given = f" with optimizer.kwargs={settings['kwargs']}" if settings["kwargs"] else ""
        raise UserError(f"optimizer.name={name}{given} does not work: {error}") from error


def fused(name: str, trainer: Trainer) -> dict[str, bool]:
    """Argument for one kernel for all parameters, steps of 5 % less time on a CPU, where it can be had."""
    if "fused" not in inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters:
        return {}
    # Fused kernels unscale gradients themselves: too late for clipping.
    return {"fused": not (trainer.gradient_clip_val and "mixed" in str(trainer.precision))}


def create_scheduler(optimizer: torch.optim.Optimizer, settings: Mapping[str, Any], trainer: Trainer) -> Scheduler:
    """timm's scheduler, counted in optimizer steps; all cycles together last as long as training.

    Args:
        settings: of timm's `create_scheduler_v2`, lengths in epochs.

    Raises:
        UserError: nobody knows how long training lasts, it is too short, or the settings do not fit each other.
    """
    settings, epochs = dict(settings), trainer.max_epochs
    name = settings["sched"]
    if not epochs:
        raise UserError("The schedule needs to know how long training lasts: set trainer.max_epochs.")
    cycles = sum(settings.get("cycle_mul", 1) ** i for i in range(settings.get("cycle_limit", 1)))
    steps_per_epoch = max(1, round(count_steps(trainer) / epochs))
    check_max_steps(trainer)
    settings["num_epochs"] = epochs / cycles
    try:
        if name not in SCHEDULERS:
            raise ValueError(f"choose one of {', '.join(SCHEDULERS)}.")
        scheduler, _ = create_scheduler_v2(
            optimizer, step_on_epochs=False, updates_per_epoch=steps_per_epoch, **settings
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"The settings under `scheduler` do not work with sched={name!r}: {error}") from error
    return scheduler


def count_steps(trainer: Trainer) -> float:
    """Steps of the whole training; Lightning looks at the batches only now, and finds what does not fit them."""
    try:
        return trainer.estimated_stepping_batches
    except ValueError as error:
        raise UserError(f"The settings under `trainer` do not fit the data: {error}".replace("`", "")) from error


def check_max_steps(trainer: Trainer) -> None:
    """Training must reach a validation, by which the best checkpoint is chosen."""
    steps, epoch = trainer.max_steps, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    if 0 <= steps < epoch:
        raise UserError(
            f"trainer.max_steps={steps} ends before the first validation, after {epoch} steps. For a short "
            "trial: trainer.max_epochs=1 +trainer.limit_train_batches=0.1."
        )
