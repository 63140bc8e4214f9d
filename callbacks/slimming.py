"""Channel pruning before the optimizer exists; training then fine-tunes the network."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from rich.console import Console

from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.compression.slimming import round_budgets, slim
from trashlite.errors import UserError
from trashlite.reports.decomposition import Decomposition, Stage, measure_stage


class Slimming(Callback):
    """Drop channels of any network until it keeps to a budget, and re-estimate its BatchNorm.

    Stands before the callbacks that count, decompose or average the network. A checkpoint keeps a plan of the channels
    that are left: it loads, resumes and can be slimmed or decomposed again like any other. Leaves `slimming.json`, F1
    and MACs on the way, in `output_dir`.

    Args:
        output_dir: the run's folder.
        budget: MACs of convolutions and matrix products, or a share (up to 1) of what they cost; None: do nothing.
        rounds: in so many equal steps, each with the channels judged and BatchNorm re-estimated anew.
        multiple: layers keep a multiple of so many channels.
        calibration_images: of the training set, as in evaluation, to judge channels on.
        bn_images: of the training set, for new BatchNorm statistics.
        fold_batchnorm: MACs are reported with BatchNorm folded.

    Raises:
        UserError: a setting is out of range, or the budget cannot be reached.
    """

    def __init__(
        self,
        output_dir: str | Path,
        budget: float | None = None,
        rounds: int = 3,
        multiple: int = 4,
        calibration_images: int = 2048,
        bn_images: int = 2048,
        fold_batchnorm: bool = True,
    ) -> None:
        if (budget is not None and budget <= 0) or min(rounds, multiple, calibration_images, bn_images) < 1:
            raise UserError(
                f"callbacks.slimming: budget={budget} must be above 0, rounds={rounds}, multiple={multiple}, "
                f"calibration_images={calibration_images} and bn_images={bn_images} at least 1."
            )
        self.folder = Path(output_dir)
        self.budget = budget
        self.rounds = rounds
        self.multiple = multiple
        self.calibration_images = calibration_images
        self.bn_images = bn_images
        self.fold_batchnorm = fold_batchnorm

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self.budget is None or stage != "fit" or trainer.ckpt_path is not None:
            return  # a resumed run has the slim network from its checkpoint
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        device = trainer.strategy.root_device
        pl_module.to(device)  # where Lightning moves it only after `setup`

        def images(count: int) -> Any:
            return (batch for batch, _ in datamodule.evaluation_batches(datamodule.train_dataset, device, count))

        def measure(stage: str) -> Stage:
            batches = datamodule.evaluation_batches(datamodule.val_dataset, device)
            classes, size = len(pl_module.class_names), pl_module.preprocessing["image_size"]
            return measure_stage(stage, pl_module.model, batches, classes, size, self.fold_batchnorm)

        chosen = ("budget", "rounds", "multiple", "calibration_images")
        report = Decomposition({name: getattr(self, name) for name in chosen})
        report.add(measure("dense"))
        example = next(images(1))
        for budget in round_budgets(pl_module.model, example, self.budget, self.rounds):
            try:
                plan = slim(pl_module.model, images(self.calibration_images), example, budget, self.multiple)
            except UserError as error:
                asked = f"callbacks.slimming.budget={self.budget:g} (up to 1 a share, above it MACs)"
                raise UserError(f"{asked}, in {self.rounds} rounds: {error}") from error
            pl_module.apply_channel_plan(trainer.strategy.broadcast(plan))  # processes round differently
            reestimate_batchnorm(pl_module.model, images(self.bn_images))
        report.add(measure("slim, BatchNorm re-estimated"))
        if trainer.is_global_zero:
            report.save(self.folder, "slimming.json")
            Console().print(report.table("Slimming"))
