"""Submission of the unlabelled test set in the competition's form."""

import logging
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from trashlite.calibration import Calibration, read_calibration, softmax
from trashlite.compression import count_macs
from trashlite.errors import UserError
from trashlite.files import sha256
from trashlite.reports.submission import validate, write_submission

log = logging.getLogger(__name__)
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "ultralytics-thop")


class SubmissionWriter(BasePredictionWriter):
    """Write `submission.csv`, `submission.json` and `submission_info.json` into `output_dir`.

    One row for each file under test/NoLabel, sorted by name. A file that could not be read gets the class that was
    most frequent in training, and is listed in `submission_info.json`, where each other row has the probability of its
    label, calibrated where the checkpoint is.

    Args:
        output_dir: the run's folder.
        checkpoint: the file the predicting weights came from; its SHA-256 goes into `submission_info.json`.
    """

    def __init__(self, output_dir: str | Path, checkpoint: str | Path | None = None) -> None:
        super().__init__(write_interval="epoch")
        self.output_dir = Path(output_dir)
        self.checkpoint = checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict" and trainer.world_size > 1:
            raise UserError("A submission is written by one process: set trainer.devices=1.")

    def write_on_epoch_end(
        self,
        trainer: Any,
        pl_module: Any,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        if trainer.fast_dev_run:
            return  # it predicts one batch
        dataset = trainer.datamodule.predict_dataset
        names = [dataset.names[int(i)] for batch in predictions for i in batch["index"]]
        logits = torch.cat([batch["logits"] for batch in predictions]).cpu().numpy()
        labels = [pl_module.class_names[int(i)] for i in logits.argmax(axis=1)]
        submission = dict(zip(names, labels, strict=True))
        temperature = ((self.checkpoint and read_calibration(self.checkpoint)) or Calibration()).temperature
        probability = zip(names, softmax(logits, temperature).max(axis=1).round(6).tolist(), strict=True)
        fallback = pl_module.class_names[int(np.argmax(pl_module.hparams["class_counts"]))]
        unreadable = {bad.name: bad.why for bad in dataset.bad}
        submission |= dict.fromkeys(unreadable, fallback)
        validate(submission, expected=dataset.names, class_names=pl_module.class_names)
        report = count_macs(pl_module.model, (3, *pl_module.preprocessing["image_size"]))
        info = {
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "checkpoint_sha256": None if self.checkpoint is None else sha256(self.checkpoint),
            "backbone": pl_module.hparams["backbone"]["name"],
            "macs": {report.counter: report.macs, "torch.utils.flop_counter": report.flop_counter_macs},
            "params": report.params,
            "preprocessing": pl_module.preprocessing,
            "class_names": pl_module.class_names,
            "unreadable": unreadable,
            "unreadable_label": fallback if unreadable else None,
            "temperature": temperature,
            "probabilities": {name: value for name, value in sorted(probability) if name not in unreadable},
            "versions": {package: version(package) for package in PACKAGES},
        }
        write_submission(self.output_dir, submission, report, info)
        counts = Counter(submission.values())
        log.info(
            "%d predictions: %s", len(submission), ", ".join(f"{name} {counts[name]}" for name in pl_module.class_names)
        )
        if unreadable:
            place = self.output_dir / "submission_info.json"
            log.warning("%d test images could not be read and were called %s; see %s", len(unreadable), fallback, place)
