"""Lightning's W&B logger for a run that it can never stop, however W&B fails.

Long by the ways in which it does.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from trashlite.errors import UserError

log = logging.getLogger(__name__)

Mode = Literal["auto", "online", "offline", "disabled"]
QUIET = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "reinit": "finish_previous",  # a run that somebody left open must not take in this one
}
_warned: set[str] = set()


@contextmanager
def tolerate_wandb() -> Iterator[None]:
    """Turn whatever W&B raises into a warning, the same one only once.

    When its service process dies every call raises ConnectionResetError; a full disk gives OSError.
    """
    try:
        yield
    except Exception as error:
        message = f"{type(error).__name__}: {first_line(error)}"
        if message not in _warned:
            _warned.add(message)
            log.warning("W&B failed (%s). The run goes on; metrics.csv has all figures.", message)


class TolerantWandbLogger(WandbLogger):
    """Logger whose run starts offline where online fails, or else as a dummy; later failures are warnings."""

    def __init__(self, mode: str, **init: Any) -> None:
        super().__init__(**init)
        del self._wandb_init["anonymous"]  # Lightning always passes it, and W&B warns that it means nothing
        self._mode = mode
        self.location: str | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None and not hasattr(self, "_attach_id"):  # a spawned process attaches instead
            self._experiment = self._start()
            self._experiment.define_metric("trainer/global_step")
            self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return super().experiment

    def _start(self) -> Any:
        # Reports on W&B's own errors, which tell of the machine, and on a server that fails of themselves as errors.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        mode, reason = choose_mode(self._mode)
        for attempt in dict.fromkeys((mode, "offline", "disabled")):
            goes_on = attempt == "online" and self._id
            init = {**self._wandb_init, "mode": attempt, "resume": "allow" if goes_on else None}
            if attempt != "online":  # there is only W&B's own process to wait for, and the machine may be busy
                init["settings"] = {key: value for key, value in init["settings"].items() if key != "init_timeout"}
            try:
                run = wandb.init(**init)
                break
            except Exception as error:
                log.warning("W&B could not start %s (%s).", attempt, first_line(error))
                reason = f"could not start {attempt}"
                if isinstance(error, ConnectionError):  # the service of an earlier job died
                    restart_service()
        where = ""
        if attempt == "online":  # offline, W&B warns when it is asked for an address
            self.location, where = run.url, f", {run.url}"
        elif attempt == "offline":
            self.location, where = str(Path(run.dir).parent), f"; upload with: {upload_command(run)}"
        log.info("W&B: %s (%s)%s", attempt, reason, where)
        return run

    log_metrics = tolerate_wandb()(WandbLogger.log_metrics)
    log_hyperparams = tolerate_wandb()(WandbLogger.log_hyperparams)
    log_image = tolerate_wandb()(WandbLogger.log_image)
    log_table = tolerate_wandb()(WandbLogger.log_table)

    @tolerate_wandb()
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        # For a callback without `monitor` the last file is its best: it would take the alias "best".
        if checkpoint_callback.monitor is not None:
            super().after_save_checkpoint(checkpoint_callback)

    def finalize(self, status: str) -> None:
        with tolerate_wandb():
            super().finalize(status)
        # Weak references to callbacks of this trainer; the next trainer of the run has its own.
        self._checkpoint_callbacks.clear()


def create_wandb_logger(
    *,
    project: str,
    save_dir: str,
    name: str | None = None,
    group: str | None = None,
    default_group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
    mode: Mode = "auto",
    log_model: bool = True,
    init_timeout: float = 20,
    finish_timeout: float = 120,
    run_id: str | None = None,
    resume: str | None = None,
) -> TolerantWandbLogger:
    """W&B logger of one job; the run itself starts with the first thing that is logged.

    Args:
        save_dir: the run's folder; W&B keeps its files in `wandb/` there.
        name: None: the name of that folder.
        default_group: where there is no `group`; the name of a multirun, so that its jobs stand together.
        log_model: keep the best checkpoint as an artifact.
        mode: "auto" does what WANDB_MODE says; else online when W&B finds an API key, offline when not.
        init_timeout: seconds to wait for the server before the run goes offline.
        finish_timeout: seconds to wait for the last upload; what is left stays on disk for `wandb sync`.
        run_id: None: a new one; a run of the same id is replaced.
        resume: of a stopped run: its W&B run goes on too.

    Raises:
        UserError: `mode` or WANDB_MODE is none of the choices.
    """
    return TolerantWandbLogger(
        mode=requested_mode(mode),
        project=project,
        save_dir=save_dir,
        name=name or Path(save_dir).resolve().name,
        group=group or default_group,
        job_type=job_type,
        tags=list(tags),
        notes=notes,
        log_model=log_model,
        id=run_id or (earlier_run_id(save_dir) if resume else None),
        # "mutable" would copy every checkpoint to ~/.local/share/wandb, for ever when offline.
        add_file_policy="immutable",
        settings={**QUIET, "init_timeout": init_timeout, "finish_timeout": finish_timeout},
    )


def earlier_run_id(save_dir: str | Path) -> str | None:
    """Id of the last W&B run that left its files in a run's folder."""
    logs = sorted(Path(save_dir, "wandb").glob("*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return logs[-1].stem.removeprefix("run-") if logs else None


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run of this job, marked as failed unless exit_code is 0; without a run do nothing.

    Jobs of a multirun share a process: a run that is not closed in its job would take in the next.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    run, started = wandb.run, time.monotonic()
    try:
        wandb.finish(exit_code=exit_code)
    except Exception as error:
        log.warning("W&B could not close its run (%s).", first_line(error))
        restart_service()
        return
    seconds = run.settings.finish_timeout
    if time.monotonic() - started >= seconds:
        log.warning("W&B did not take all in %.0f s. Upload the rest with: %s", seconds, upload_command(run))


def restart_service() -> None:
    """Drop W&B's background process, so that the next job gets a fresh one."""
    import wandb

    with suppress(Exception, SystemExit):  # it exits with the code of a service that broke
        wandb.teardown()
    wandb.run = None  # else W&B takes the dead run for a live one


def log_summary(loggers: Sequence[Logger], values: Mapping[str, Any]) -> None:
    """Set the figures a run is compared by, such as MACs or the best F1, in the summary of its W&B run."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with tolerate_wandb():
                logger.experiment.summary.update(dict(values))


def wandb_location(loggers: Sequence[Logger]) -> str | None:
    """Address of the W&B run, or its folder when offline; None without one."""
    return next((logger.location for logger in loggers if isinstance(logger, TolerantWandbLogger)), None)


def wandb_id() -> str | None:
    """Id of this job's W&B run; None where there is none."""
    wandb = sys.modules.get("wandb")
    return None if wandb is None or wandb.run is None or wandb.run.disabled else wandb.run.id


def upload_command(run: Any) -> str:
    """Command that uploads what W&B's server has not got, of a run that was resumed all parts together."""
    logs = sorted(Path(run.dir).parents[1].glob(f"*/run-{run.id}.wandb"))
    parts = dict.fromkeys(os.path.relpath(path.parent) for path in logs if not path.parent.is_symlink())
    return f"{wandb_command()} sync {' '.join(parts)}"


def wandb_command() -> str:
    """`wandb` as a shell finds it from here."""
    beside = Path(sys.executable).with_name("wandb")
    return "wandb" if shutil.which("wandb") or not beside.exists() else os.path.relpath(beside)


def requested_mode(mode: str) -> str:
    """The mode that the configuration or the environment asks for, by its name of today."""
    source, given = "logger.wandb.mode", mode
    if mode == "auto" and os.environ.get("WANDB_MODE"):
        source, given = "WANDB_MODE", os.environ["WANDB_MODE"]
    found = {"run": "online", "dryrun": "offline"}.get(given, given)
    if found not in get_args(Mode):
        raise UserError(f"{source}={given!r}: choose one of {', '.join(get_args(Mode))}.")
    return found


def choose_mode(requested: str) -> tuple[str, str]:
    """Mode to start in and the reason; online only with an API key, because W&B would ask for one."""
    if requested in ("offline", "disabled"):
        return requested, "as set"
    import wandb

    try:
        if wandb.setup(wandb.Settings(silent=True)).settings.mode in ("offline", "disabled"):
            return "offline", "as `wandb offline` says"
        has_key = wandb.login(prompt=False, verify=False)
    except Exception as error:
        return "offline", f"no usable API key: {first_line(error)}"
    return ("online", "API key found") if has_key else ("offline", "no API key")


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
