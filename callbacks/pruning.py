"""Callback that tells the sweep's study how a trial goes, and ends it when the study's pruner has seen enough."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from trashlite.errors import Pruned, UserError
from trashlite.sweeps.storage import load_study


class TrialPruning(Callback):
    """After each validation report a figure to the trial that this job is; idle where there is none.

    The job may run in any process or machine: it opens the study as the sweep's folder tells.

    Args:
        monitor: figure that is logged at every validation, such as val/f1; better in the study's direction.
        trial: `folder` of the sweep and `number`; None: this job is no trial, or its study prunes none.
        pruner: of Optuna.

    Raises:
        UserError: no such figure.
        Pruned: this trial is not worth going on with.
    """

    def __init__(self, monitor: str = "val/f1", trial: dict[str, Any] | None = None, pruner: Any = None) -> None:
        self.monitor, self.whose, self.pruner = monitor, trial, pruner
        self.active = False
        self.trial: Any = None  # in the process of rank 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.active = stage == "fit" and self.whose is not None
        if self.whose is not None and self.active and trainer.is_global_zero:
            self.trial = open_trial(Path(self.whose["folder"]), self.whose["number"], self.pruner)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not self.active or trainer.sanity_checking:
            return
        stop = False
        if self.trial is not None:
            if self.monitor not in trainer.callback_metrics:
                known = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
                raise UserError(
                    f"callbacks.pruning.monitor={self.monitor} is not measured at every epoch; choose from {known}."
                )
            self.trial.report(float(trainer.callback_metrics[self.monitor]), step=trainer.current_epoch)
            stop = self.trial.should_prune()
        if trainer.strategy.broadcast(stop):
            value = float(trainer.callback_metrics[self.monitor])
            figures = {self.monitor: value, "model/macs": pl_module.macs}
            raise Pruned(f"{self.monitor} {value:.4f} after epoch {trainer.current_epoch + 1}", figures)


def open_trial(folder: Path, number: int, pruner: Any) -> Any:
    """The trial of this number in the study of a sweep's folder."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = load_study(folder, pruner)
    if study is None:
        raise UserError(f"There is no study in {folder}: callbacks.pruning has nothing to report to.")
    found = study.get_trials(deepcopy=False)[number]
    return optuna.Trial(study, found._trial_id)
