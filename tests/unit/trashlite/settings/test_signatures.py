"""The settings' schema and what is built from them say the same."""

import inspect
from typing import Literal, get_args, get_type_hints

import pytest
from hydra.utils import get_method
from timm.scheduler import create_scheduler_v2
from torch import nn

from datamodules import trash
from lightning_modules.optimizers import SCHEDULERS
from loggers import wandb
from trashlite import losses, settings
from trashlite.compression import freeze
from trashlite.compression.low_rank import ranks
from trashlite.data import decode, sampling
from trashlite.data.augmentation import erasing
from trashlite.settings import callbacks, data, training
from trashlite.settings.types import Part

# Given by run.py, or objects, which no configuration holds.
LATE = {
    "callbacks",
    "logger",
    "plugins",
    "train_time_interval",
    "clock",
    "console",
    "class_names",
    "class_counts",
    "preprocessing",
    "plans",
    "checkpoint",
}


def parts(base: type[Part] = Part) -> list[type[Part]]:
    return [part for part in base.__subclasses__() if part.targets]


def accepted(target: str) -> set[str]:
    """Names of the parameters of a class, those of its bases where it passes settings on."""
    built = get_method(target)
    names: set[str] = set()
    for each in built.__mro__ if inspect.isclass(built) else [built]:
        parameters = inspect.signature(each.__init__ if inspect.isclass(each) else each).parameters
        names |= {name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            break
    return names - {"self"}


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_settings_are_those_the_classes_take(part: type[Part]) -> None:
    fields = set(part.model_fields) - {"target"}
    takes = set().union(*map(accepted, part.targets))
    if part is callbacks.LowRank:  # which passes the others on to a function
        takes |= accepted("trashlite.compression.low_rank.select_ranks")
        takes -= {"model", "example_input", "moments", "calibration", "loss"}
    assert fields <= takes
    if part.model_config.get("extra") != "allow":
        assert takes - fields <= LATE


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (settings.types.ResizeMode, decode.ResizeMode),
        (get_type_hints(data.DataModule)["split"], trash.Split),
        (get_type_hints(data.DataModule)["on_bad_image"], trash.OnBadImage),
        (get_type_hints(data.DataModule)["sampling"], sampling.Sampling),
        (get_type_hints(data.Erasing)["fill"], erasing.Fill),
        (get_args(get_type_hints(callbacks.LowRank)["policy"])[0], ranks.Policy),
        (get_type_hints(callbacks.LowRank)["freeze"], freeze.Freeze),
        (get_type_hints(callbacks.Wandb)["mode"], wandb.Mode),
        (get_type_hints(training.Scheduler)["sched"], Literal[SCHEDULERS]),
        (get_type_hints(training.Loss)["name"], Literal[tuple(losses.LOSSES)]),
    ],
)
def test_choices_are_those_of_the_library(ours: object, theirs: object) -> None:
    assert get_args(ours) == get_args(theirs)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_each_loss_has_its_settings(name: str) -> None:
    loss: type[nn.Module] = losses.LOSSES[name]
    assert training.LOSS_SETTINGS[name] == accepted_by(loss) - {"class_counts"}


def accepted_by(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def test_settings_of_the_scheduler_are_those_timm_takes() -> None:
    follow = {"optimizer", "num_epochs", "step_on_epochs", "updates_per_epoch"}  # from the training
    plateau = {"patience_epochs", "plateau_mode"}  # of a scheduler that is no function of the step
    assert set(training.Scheduler.model_fields) == accepted_by(create_scheduler_v2) - follow - plateau
