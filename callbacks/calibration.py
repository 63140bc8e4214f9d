"""Calibration of probabilities, with the best checkpoint, after its validation."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from callbacks.collected_outputs import CollectedOutputs, Stage
from trashlite.calibration import Calibration, calibrate, write_calibration
from trashlite.errors import UserError
from trashlite.reports.calibration import calibration_figure
from trashlite.reports.pictures import save_figure

log = logging.getLogger(__name__)


class ProbabilityCalibration(CollectedOutputs):
    """Find the temperature, and when to answer "unknown", and keep both beside the run's best checkpoint.

    Logs `val/ece_before` and `val/ece` (expected calibration error), `val/temperature`, and with a wanted precision
    `val/threshold` and `val/coverage`; draws `<output_dir>/pictures/calibration.png`. A checkpoint of another run gets
    no file beside it: `make calibrate` is for that.

    Args:
        output_dir: the run's folder.
        min_precision: share of right answers that is wanted; None: every image is answered.
        checkpoint: the file that the validated weights came from.
    """

    def __init__(
        self, output_dir: str | Path, min_precision: float | None = None, checkpoint: str | Path | None = None
    ) -> None:
        super().__init__()
        self.folder = Path(output_dir)
        self.min_precision = min_precision
        self.checkpoint = checkpoint

    def judge(self, trainer: Any, pl_module: Any, stage: Stage, outputs: dict[str, Tensor]) -> None:
        if stage != "val" or trainer.fast_dev_run:
            return
        logits, targets = outputs["logits"].float().numpy(), outputs["target"].numpy()
        found = self._calibrate(logits, targets)
        figures = {"ece_before": found.ece_before, "ece": found.ece, "temperature": found.temperature}
        if found.min_precision is not None:
            figures |= {"threshold": found.threshold, "coverage": found.coverage}
        pl_module.log_dict({f"val/{name}": value for name, value in figures.items()})
        path = save_figure(calibration_figure(logits, targets, found), self.folder / "pictures" / "calibration.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/calibration", [str(path)])
        if self.checkpoint and Path(self.checkpoint).resolve().is_relative_to(self.folder.resolve()):
            write_calibration(self.checkpoint, found)

    def _calibrate(self, logits: np.ndarray, targets: np.ndarray) -> Calibration:
        try:
            return calibrate(logits, targets, self.min_precision)
        except UserError as error:  # after hours of training, no reason to fail
            log.warning("%s Every image is answered.", error)
            return replace(calibrate(logits, targets), min_precision=None)
