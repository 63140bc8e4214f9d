"""The one entry: compose a configuration, then fit, test and predict, and return the objective.

python run.py --help shows every setting; python run.py backbone.name=lcnet_050 trainer.max_epochs=20 changes two.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from hydra_plugins.trashlite.jobs import (
    check_job,
    command_line,
    exit_on_sigterm,
    is_first_process,
    is_trial,
    multirun_name,
    quiet_trial,
    sweep_trial,
    with_seed,
)
from trashlite.errors import OverBudget, Pruned
from trashlite.files import user_error_in

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """Run one job; a user's mistake ends it with one clear message, without a traceback."""
    folder, started = Path(cfg.output_dir), time.monotonic()
    overrides = list(HydraConfig.get().overrides.task)
    exit_code = 1

    def write(state: str, record: dict[str, Any]) -> None:
        if not is_first_process():
            return
        from trashlite.reports.run_record import write_record

        tracking: Any = sys.modules.get("loggers.wandb")  # not there yet in the first seconds
        links = {"trial": sweep_trial(), "wandb_id": tracking.wandb_id() if tracking else None}
        head = {"state": state, "overrides": overrides, **links, "minutes": (time.monotonic() - started) / 60}
        write_record(folder, head | record, resumed=bool(cfg.resume))

    try:
        exit_on_sigterm()
        with quiet_trial():
            record, objective = run(cfg, overrides)
        write("completed", {**record, "objective": objective})
        exit_code = 0
        return objective
    except (KeyboardInterrupt, SystemExit) as stop:
        write("unfinished", {"error": "stopped before its end"})
        last = folder / "checkpoints" / "last.ckpt"
        log.warning("Stopped.%s", f" Go on with: python run.py resume={last}" if last.is_file() else "")
        if isinstance(stop, KeyboardInterrupt):
            sys.exit(1)
        raise
    except Exception as error:
        user_error = user_error_in(error)
        pruned = error if isinstance(error, Pruned) else None
        if isinstance(user_error, OverBudget) and is_trial():
            pruned = Pruned(str(user_error), {"model/macs": user_error.macs})
        if pruned:
            write("pruned", {"reason": pruned.reason, **pruned.figures})
            exit_code = 0
            raise pruned from None
        if user_error:
            write("failed", {"error": str(user_error)})
            if multirun_name() is None and "HYDRA_FULL_ERROR" not in os.environ:
                sys.exit(str(user_error))  # without Hydra's lines around it
            raise CompactHydraException(str(user_error)) from error
        write("failed", {"error": repr(error), "traceback": traceback.format_exc()})
        raise
    finally:
        if "loggers.wandb" in sys.modules:
            sys.modules["loggers.wandb"].finish_wandb(exit_code)


def run(cfg: DictConfig, overrides: list[str]) -> tuple[dict[str, Any], float | tuple[float, ...] | None]:
    """Fit, test and predict as `cfg` says; return the record of the run and its objective."""
    check_job(cfg)  # before the import of torch, which takes seconds
    if not is_first_process():
        logging.getLogger().setLevel(logging.ERROR)
    if "torch" not in sys.modules:
        log.info("Loading PyTorch; folder %s", os.path.relpath(cfg.output_dir))

    from pytorch_lightning import seed_everything
    from rich.console import Console

    from lightning_modules.checkpoint.adopt import adopt_checkpoint, resumed_config
    from lightning_modules.job.parts import create_datamodule, create_loggers
    from lightning_modules.job.stages import evaluate, fit
    from lightning_modules.job.warning_filters import silence
    from trashlite.network import read_checkpoint
    from trashlite.reports.run_record import select_objective, show_summary
    from trashlite.threads import set_threads

    silence()
    started = time.monotonic()
    if cfg.resume:
        cfg = resumed_config(cfg, read_checkpoint(cfg.resume), overrides)
    elif cfg.checkpoint:
        cfg = adopt_checkpoint(cfg, read_checkpoint(cfg.checkpoint), overrides)
    if cfg.resume or cfg.checkpoint:
        check_job(cfg)  # what the file says of settings and data, too
    set_threads(cfg.threads)
    cfg = with_seed(cfg)
    seed_everything(cfg.seed, workers=True)

    datamodule = create_datamodule(cfg)
    if cfg.show_data:
        from trashlite.reports.data import show_data

        for path in show_data(datamodule, Path(cfg.output_dir) / "pictures"):
            log.info("wrote %s", os.path.relpath(path))
        return {}, None
    loggers = create_loggers(cfg, sweep_trial())
    checkpoint = fit(cfg, datamodule, loggers) if cfg.fit else cfg.checkpoint
    if not is_first_process():
        return {}, None
    record = evaluate(cfg, datamodule, loggers, checkpoint)
    record["minutes"] = (time.monotonic() - started) / 60
    # A run that keeps no image for validation lacks figures of val; a search needs all of its own.
    names = [name for name in cfg.objective if name in record or datamodule.has_val or is_trial()]
    objective = select_objective(names, record) if cfg.fit and names else None
    show_summary(record, Console())
    return record, objective


if __name__ == "__main__":
    sys.argv[1:] = command_line(sys.argv[1:])
    main()
