"""Tell the sweep's study how a trial goes, and end it when the study's pruner has seen enough."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from trashlite.errors import Pruned, UserError
from trashlite.sweeps.jobs import sweep_trial


class TrialPruning(Callback):
    """After each validation report a figure to the trial that this job is; idle outside a sweep with a pruner.

    The job may run in any process or machine: it opens the study by the sweep's settings, which Hydra hands to it.

    Args:
        monitor: figure that is logged at every validation, such as val/f1; better in the study's direction.

    Raises:
        UserError: no such figure.
        Pruned: this trial is not worth going on with.
    """

    def __init__(self, monitor: str = "val/f1") -> None:
        self.monitor = monitor
        self.active = False
        self.trial: Any = None  # in the process of rank 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        whose = sweep_trial() or {}
        self.active = stage == "fit" and "number" in whose and bool(HydraConfig.get().sweeper.pruner)
        if self.active and trainer.is_global_zero:
            self.trial = open_trial(whose["number"])

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


def open_trial(number: int) -> Any:
    """The trial of this number, through the storage of the sweep this job belongs to."""
    import optuna

    from trashlite.sweeps.storage import open_storage, study_url

    hydra = HydraConfig.get()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=hydra.sweeper.study_name,
        storage=open_storage(study_url(hydra.sweeper.storage, Path(hydra.sweep.dir))),
        pruner=instantiate(OmegaConf.to_container(hydra.sweeper.pruner, resolve=True)),
    )
    found = study.get_trials(deepcopy=False)[number]
    return optuna.Trial(study, found._trial_id)
