"""Where figures of a run go: a W&B run that can never stop the run it watches, and a CSV file beside it."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from trashlite.errors import UserError

log = logging.getLogger(__name__)

Mode = Literal["auto", "online", "offline", "disabled"]
MODES = ("auto", "online", "offline", "disabled")
ENVIRONMENT_MODES = {"run": "online", "dryrun": "offline"}  # W&B's older names


def create_wandb_logger(
    *,
    project: str,
    save_dir: str,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    mode: Mode = "auto",
    log_model: bool = True,
    init_timeout: float = 20,
    finish_timeout: float = 120,
    run_id: str | None = None,
) -> "TolerantWandbLogger":
    """Build the W&B logger of one job; the run itself starts with the first thing that is logged.

    Args:
        save_dir: the run's folder; W&B keeps its files in `wandb/` there.
        name: None: the name of that folder.
        group: None: in a Hydra multirun the name of its folder, so that its jobs stand together.
        mode: "auto" does what the environment variable WANDB_MODE says; else it is online when W&B finds an
            API key (WANDB_API_KEY, `wandb login`), offline when not.
        log_model: keep the best checkpoint as an artifact.
        init_timeout: seconds to wait for the server before the run goes offline.
        finish_timeout: seconds to wait for the last upload; what is left stays on disk for `wandb sync`.
        run_id: None: a new one; a run of the same id is replaced.

    Raises:
        UserError: `mode` or WANDB_MODE is none of the choices.
    """
    return TolerantWandbLogger(
        mode=_requested_mode(mode),
        project=project,
        save_dir=save_dir,
        name=name or Path(save_dir).resolve().name,
        group=group or multirun_name(),
        job_type=job_type,
        tags=list(tags),
        notes=notes,
        log_model=log_model,
        # "mutable" would copy every checkpoint to ~/.local/share/wandb, for ever when offline.
        add_file_policy="immutable",
        id=run_id,
        resume=None,  # Lightning's "allow" means nothing without an id
        settings={
            "silent": True,  # one line of ours says where the run lies
            "console": "off",
            "disable_git": True,
            "disable_code": True,
            "save_code": False,
            "x_disable_machine_info": True,
            "x_disable_stats": True,
            "x_save_requirements": False,
            "init_timeout": init_timeout,
            "finish_timeout": finish_timeout,
            # A run that somebody left open must not take in this one.
            "reinit": "finish_previous",
        },
    )


def create_csv_logger(save_dir: str) -> CSVLogger:
    """Log to `metrics.csv` in the run's folder; a file from before a resume becomes `metrics_1.csv`, ..."""
    # Lightning warns that it deletes former files, which is why they are moved away.
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")
    _set_aside(Path(save_dir) / "metrics.csv")
    return CSVLogger(save_dir, name="", version="")


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run of this job, marked as failed unless exit_code is 0; without a run do nothing.

    Jobs of a multirun share a process: a run that is not closed in its job would take in the next.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    try:
        wandb.finish(exit_code=exit_code)
    except Exception as error:
        log.warning("W&B could not close its run (%s).", _first_line(error))
        _restart_service()


def log_summary(loggers: Sequence[Logger], values: Mapping[str, Any]) -> None:
    """Set the figures a run is compared by, such as MACs or the best F1, in the summary of its W&B run."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with tolerate_wandb():
                logger.experiment.summary.update(dict(values))


def wandb_location(loggers: Sequence[Logger]) -> str | None:
    """Where the W&B run lies: its address, or its folder when offline; None without one."""
    return next((logger.location for logger in loggers if isinstance(logger, TolerantWandbLogger)), None)


def wandb_id() -> str | None:
    """The id of this job's W&B run; None where there is none."""
    wandb = sys.modules.get("wandb")
    return None if wandb is None or wandb.run is None or wandb.run.disabled else wandb.run.id


def multirun_name() -> str | None:
    """The name of the folder of the Hydra multirun this job belongs to; None in a single run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).resolve().name


@contextmanager
def tolerate_wandb() -> Iterator[None]:
    """Turn whatever W&B raises into a warning, the same one only once.

    When its service process dies every call raises ConnectionResetError; a full disk gives OSError.
    """
    try:
        yield
    except Exception as error:
        message = f"{type(error).__name__}: {_first_line(error)}"
        if message not in _warned:
            _warned.add(message)
            log.warning("W&B failed (%s). The run goes on; metrics.csv has all figures.", message)


_warned: set[str] = set()


class TolerantWandbLogger(WandbLogger):
    """A WandbLogger whose failures cost the tracking, never the training.

    A run that cannot start online starts offline, and failing that is a dummy; later failures are warnings.
    """

    def __init__(self, mode: Mode, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(settings=settings, **kwargs)
        del self._wandb_init["anonymous"]  # Lightning always passes it, and W&B warns that it means nothing
        self._mode = mode
        self.location: str | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None and not hasattr(self, "_attach_id"):  # a spawned process attaches instead
            mode, reason = _choose_mode(self._mode)
            self._experiment = self._start(mode, reason)
            self._experiment.define_metric("trainer/global_step")
            self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return super().experiment

    def _start(self, mode: str, reason: str) -> Any:
        import wandb

        for attempt in (mode, "offline"):
            try:
                run = wandb.init(**{**self._wandb_init, "mode": attempt})
            except Exception as error:
                log.warning("W&B could not start %s (%s).", attempt, _first_line(error))
                reason = f"could not start {attempt}"
                if isinstance(error, ConnectionError):  # the service of an earlier job died
                    _restart_service()
                continue
            if attempt == "disabled":
                log.info("W&B: disabled (%s)", reason)
            elif attempt == "online":
                self.location = run.url
                log.info("W&B: online (%s), %s", reason, self.location)
            else:
                self.location = str(Path(run.dir).parent)
                log.info("W&B: offline (%s); upload with: wandb sync %s", reason, self.location)
            return run
        log.warning("W&B is off for this run; metrics.csv has all figures.")
        return wandb.init(mode="disabled")

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with tolerate_wandb():
            super().log_metrics(metrics, step)

    def log_hyperparams(self, params: Any) -> None:
        with tolerate_wandb():
            super().log_hyperparams(params)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        # For a callback without `monitor` the last file is its best: it would take the alias "best".
        if checkpoint_callback.monitor is not None:
            with tolerate_wandb():
                super().after_save_checkpoint(checkpoint_callback)

    def finalize(self, status: str) -> None:
        with tolerate_wandb():
            super().finalize(status)
        # Weak references to callbacks of this trainer; the next trainer of the run has its own.
        self._checkpoint_callbacks.clear()


@rank_zero_only
def _set_aside(path: Path) -> None:
    if path.exists():
        number = 1 + len(list(path.parent.glob(f"{path.stem}_*{path.suffix}")))
        path.rename(path.with_name(f"{path.stem}_{number}{path.suffix}"))


def _requested_mode(mode: str) -> Any:
    source = "logger.wandb.mode"
    if mode == "auto" and os.environ.get("WANDB_MODE"):
        source, mode = "WANDB_MODE", os.environ["WANDB_MODE"]
        mode = ENVIRONMENT_MODES.get(mode, mode)
    if mode not in MODES:
        raise UserError(f"{source}={mode!r}: choose one of {', '.join(MODES)}.")
    return mode


def _choose_mode(requested: Mode) -> tuple[str, str]:
    """The mode to start in and the reason; online only with an API key, because W&B would ask for one."""
    if requested in ("offline", "disabled"):
        return requested, "as set"
    import wandb

    try:
        own = wandb.setup(wandb.Settings(silent=True)).settings.mode
        if own in ("offline", "dryrun", "disabled"):
            return ENVIRONMENT_MODES.get(own, own), "as WANDB_MODE or `wandb offline` says"
        has_key = wandb.login(prompt=False, verify=False)
    except Exception as error:
        return "offline", f"no usable API key: {_first_line(error)}"
    return ("online", "API key found") if has_key else ("offline", "no API key")


def _restart_service() -> None:
    """Drop W&B's background process, so that the next job gets a fresh one."""
    import wandb

    try:
        wandb.teardown()
    except (Exception, SystemExit) as error:  # it exits with the code of a service that broke
        log.debug("W&B teardown: %s", error)
    wandb.run = None  # else W&B takes the dead run for a live one


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
