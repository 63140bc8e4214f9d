"""Low-rank decomposition before the optimizer exists, and the repair after it."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console

from loggers.wandb import tolerate_wandb
from trashlite.compression.freeze import Freeze, check_freeze, freeze_layers
from trashlite.compression.low_rank import RankPlan, collect_moments, select_ranks
from trashlite.compression.low_rank.ranks import Policy
from trashlite.compression.macs import count_macs
from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.errors import UserError
from trashlite.reports.decomposition import (
    FILE,
    PLAN_COLUMNS,
    Decomposition,
    Stage,
    decomposition_figure,
    measure_stage,
    plan_rows,
)
from trashlite.reports.pictures import save_figure

log = logging.getLogger(__name__)


class LowRankDecomposition(Callback):
    """Factorise the network of a TrashClassifier, re-estimate its BatchNorm, and let training fine-tune the rest.

    Stands before the callbacks that count, copy or average the network. A resumed run has its plan, and with it its
    factors, from the checkpoint: nothing is decomposed twice. (Set `trainer.ckpt_path` before `trainer.fit`, whose own
    argument is not known in `setup`.) Leaves in `output_dir`: `decomposition.json`, F1 and
    MACs of the dense, decomposed, repaired and fine-tuned network; `plan.yaml`; `pictures/decomposition.png`.

    Args:
        output_dir: the run's folder.
        policy: of `select_ranks`; None: this callback does nothing.
        data_aware: keep each layer's output on calibration images, instead of its weight.
        calibration_images: of the training set, as in evaluation; for moments and for `sensitivity`.
        bn_images: of the training set, for new BatchNorm statistics; 0: leave them.
        freeze: see `freeze_layers`.
        fold_batchnorm: MACs are those of the network with BatchNorm folded.
        **selection: `ratio`, `energy`, `budget`, `plan`, `kinds`, `exclude`, `multiple`, `min_rank` of `select_ranks`.

    Raises:
        UserError: a setting is out of range, or the budget cannot be reached.
    """

    def __init__(
        self,
        output_dir: str | Path,
        policy: Policy | None = None,
        data_aware: bool = True,
        calibration_images: int = 512,
        bn_images: int = 2048,
        freeze: Freeze = "none",
        fold_batchnorm: bool = True,
        **selection: Any,
    ) -> None:
        check_freeze(freeze)
        if calibration_images < 1 or bn_images < 0:
            raise UserError(
                f"callbacks.low_rank: calibration_images={calibration_images} must be at least 1, "
                f"bn_images={bn_images} at least 0."
            )
        self.folder = Path(output_dir)
        self.policy = policy
        self.data_aware = data_aware
        self.calibration_images = calibration_images
        self.bn_images = bn_images
        self.freeze: Freeze = freeze
        self.fold_batchnorm = fold_batchnorm
        self.selection = selection

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self.policy is None or stage != "fit" or trainer.ckpt_path is not None:
            return
        if trainer.datamodule is None:  # type: ignore[attr-defined]
            raise UserError("LowRankDecomposition needs images: call trainer.fit(model, datamodule=...).")
        self.decompose(trainer, pl_module, self.policy)

    def decompose(self, trainer: Trainer, pl_module: Any, policy: Policy) -> None:
        """Select ranks, factorise, repair, freeze; report each step."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        device = trainer.strategy.root_device
        pl_module.to(device)  # where Lightning moves it only after `setup`
        images = list(datamodule.evaluation_batches(datamodule.train_dataset, device, self.calibration_images))
        settings = {"policy": policy, "data_aware": self.data_aware, "fold_batchnorm": self.fold_batchnorm}
        report = Decomposition(settings | self.selection)
        report.add(self.measure("dense", pl_module, datamodule))
        moments = collect_moments(pl_module.model, images) if self.data_aware else None
        plan = select_ranks(
            pl_module.model, images[0][0][:1], policy, moments=moments, calibration=images, **self.selection
        )
        plan = trainer.strategy.broadcast(plan)  # rounding may differ between processes; architectures must not
        if not plan.layers:
            log.warning("Low rank: no layer is factorised with these settings; the network stays dense.")
        pl_module.apply_rank_plan(plan, moments)
        report.add(self.measure("decomposed", pl_module, datamodule))
        if self.bn_images:
            batches = datamodule.evaluation_batches(datamodule.train_dataset, device, self.bn_images)
            reestimate_batchnorm(pl_module.model, (images for images, _ in batches))
            report.add(self.measure("BatchNorm re-estimated", pl_module, datamodule))
        freeze_layers(pl_module.model, self.freeze, pl_module.factorised)
        if trainer.is_global_zero:
            plan.save(self.folder / "plan.yaml")
            self.publish(trainer, report, plan)

    def measure(self, stage: str, pl_module: Any, datamodule: Any) -> Stage:
        """F1 on all of val, and MACs."""
        batches = datamodule.evaluation_batches(datamodule.val_dataset, pl_module.device)
        classes, size = len(pl_module.class_names), pl_module.preprocessing["image_size"]
        return measure_stage(stage, pl_module.model, batches, classes, size, self.fold_batchnorm)

    def publish(self, trainer: Trainer, report: Decomposition, plan: RankPlan | None = None) -> None:
        """To the run's folder, the console and W&B; with the plan at the start, without at the end."""
        report.save(self.folder)
        Console().print(report.table())
        tables = {"low_rank/stages": (report.columns(), report.rows())}
        pictures = []
        if plan is not None:
            tables["low_rank/plan"] = PLAN_COLUMNS, plan_rows(plan)
            figure = decomposition_figure(plan, "its output" if self.data_aware else "its weight")
            pictures.append(str(save_figure(figure, self.folder / "pictures" / "decomposition.png")))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                with tolerate_wandb():
                    for name, (columns, rows) in tables.items():
                        logger.log_table(name, columns=columns, data=rows)
                    if pictures:
                        logger.log_image("low_rank/layers", pictures)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """The best checkpoint is validated by itself after fitting: the last row of the table."""
        decomposed_here = self.policy is not None and trainer.max_epochs != 0 and (self.folder / FILE).is_file()
        if trainer.state.fn == TrainerFn.VALIDATING and decomposed_here and trainer.is_global_zero:
            report = Decomposition.load(self.folder)
            macs = count_macs(pl_module.model, (3, *pl_module.preprocessing["image_size"]))
            report.add(Stage.of("fine-tuned", trainer.callback_metrics["val/f1"].item(), macs))
            self.publish(trainer, report)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """The optimizer of a resumed run must leave out what was frozen."""
        if self.policy is not None and pl_module.factorised:
            freeze_layers(pl_module.model, self.freeze, pl_module.factorised)
