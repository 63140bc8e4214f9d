"""Settings of a whole run, and what they ask of each other."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trashlite.settings.callbacks import Callbacks, Loggers
from trashlite.settings.data import Augmentation, DataModule
from trashlite.settings.training import Backbone, LightningModule, Loss, Optimizer, Scheduler, Trainer
from trashlite.settings.types import (
    VAL_FIGURE,
    AtLeast1,
    Group,
    ImageSize,
    Positive,
    ResizeKernel,
    ResizeMode,
    Seed,
    Share,
    Text,
    mistake,
)

PHOTOGRAPHS = "datamodules.trash.TrashDataModule"
ROOT = "a folder with train/<Class>/*.jpg; datamodule=demo needs none"

Objective = Annotated[
    str,
    Field(
        pattern=rf"^({VAL_FIGURE}|val/latency_ms|test/(loss|acc|f1|score|f1_.+|p_f1_above_floor|interval_low|interval_high)|model/(macs|flop_counter_macs|params))$"
    ),
]


class Score(Group):
    """Constants of the competition's score."""

    baseline_f1: Annotated[float, Field(gt=0, le=1)]
    baseline_macs: Positive
    floor: Share


class Config(Group):
    """All that `python run.py KEY=VALUE` can set."""

    fit: bool
    test: bool
    predict: bool
    export: list[Literal["onnx", "int8", "c", "c_int8", "html"]]
    show_data: bool
    checkpoint: Text | None
    resume: Text | None
    objective: Annotated[
        list[Objective],
        Field(
            min_length=1,
            description="a list of val/ or test/ loss, acc, f1, score, f1_<class>, val/latency_ms, or model/ macs, "
            "flop_counter_macs, params, such as [val/f1, model/macs]",
        ),
    ]
    image_size: ImageSize
    resize_mode: ResizeMode
    resize_kernel: ResizeKernel
    seed: Seed | None
    threads: Literal["auto"] | AtLeast1 | None
    max_macs: Positive | None
    fold_batchnorm: bool
    score: Score
    output_dir: Text
    group: Text | None
    job_type: Text | None
    tags: list[str]
    notes: str | None
    backbone: Backbone
    datamodule: DataModule
    augmentation: Augmentation | None
    loss: Loss
    optimizer: Optimizer
    scheduler: Scheduler
    lightning_module: LightningModule
    callbacks: Annotated[Callbacks, Field(description="a group; callbacks.NAME=null switches one off")]
    logger: Annotated[Loggers, Field(description="a group; logger.NAME=null switches one off")]
    trainer: Trainer
    experiment: Any = None  # names of overlays
    debug: Any = None
    sweep: Any = None

    @model_validator(mode="after")
    def data_are_there(self) -> Self:
        root = getattr(self.datamodule, "root", ".")
        if root == "???" and not (self.checkpoint or self.resume):  # which bring their own
            raise mistake(f"datamodule.root=PATH is missing: {ROOT}")
        if self.datamodule.target == PHOTOGRAPHS and root != "???" and not Path(root).expanduser().is_dir():
            raise mistake(f"datamodule.root={root}: there is no such folder. It is {ROOT}")
        return self

    @model_validator(mode="after")
    def onnx_is_there(self) -> Self:
        asking = [f"export={form}" for form in self.export if form in ("onnx", "int8")]
        asking += [f"objective={figure}" for figure in self.objective if figure == "val/latency_ms"]
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
        if asking and missing:
            raise mistake(f"{asking[0]} needs the package {missing[0]}: make setup-deploy installs it")
        return self

    @model_validator(mode="after")
    def folders_can_be_written(self) -> Self:
        cache_dir = getattr(self.datamodule, "cache_dir", ".")
        for key, folder in (("datamodule.cache_dir", cache_dir), ("output_dir", self.output_dir)):
            path = Path(folder).expanduser().absolute()
            existing = next(parent for parent in (path, *path.parents) if parent.exists())
            if not (existing.is_dir() and os.access(existing, os.W_OK)):
                raise mistake(f"{key}={folder}: {existing} cannot be written; choose another folder")
        return self

    @model_validator(mode="after")
    def squeezing_is_measured(self) -> Self:
        low_rank, slimming = self.callbacks.low_rank, self.callbacks.slimming
        squeezes = getattr(low_rank, "policy", None) or getattr(slimming, "budget", None)
        if squeezes and getattr(self.datamodule, "split", None) == "all":
            raise mistake(
                "datamodule.split=all leaves no images to measure a decomposition or slimming by: squeeze with "
                "split=given first, then train the result on all with checkpoint=PATH"
            )
        return self

    @model_validator(mode="after")
    def score_is_counted(self) -> Self:
        callbacks = self.callbacks
        watched = {
            "callbacks.best_checkpoint.monitor": getattr(callbacks.best_checkpoint, "monitor", None),
            "callbacks.early_stopping.monitor": getattr(callbacks.early_stopping, "monitor", None),
            **{f"objective={figure}": figure for figure in self.objective},
        }
        asking = [key for key, figure in watched.items() if figure in ("val/score", "test/score")]
        if asking and callbacks.macs is None:
            raise mistake(f"{asking[0]} names the score, which needs the MACs: leave callbacks.macs on")
        if not self.test and (figures := [figure for figure in self.objective if figure.startswith("test/")]):
            raise mistake(f"objective={figures[0]} is not measured with test=false")
        return self
