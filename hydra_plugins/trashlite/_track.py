"""Report of a sweep in W&B, in the group of its jobs."""

from hashlib import sha256
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.trashlite._experiment import read_config
from trashlite.errors import UserError
from trashlite.reports.sweep.report import Report


def first_config(report: Report) -> DictConfig | None:
    """The configuration of the first job that left a readable one."""
    for job in report.table.jobs:
        try:
            return read_config(job)
        except UserError:
            continue
    return None


def log_to_wandb(report: Report) -> None:
    """Log table and pictures as a run of its own; an earlier one of the folder is replaced."""
    config = first_config(report)
    settings: Any = OmegaConf.select(config, "logger.wandb") if config is not None else None
    if config is None or not settings:  # the jobs were not tracked
        return
    from loggers.wandb import create_wandb_logger, finish_wandb, log_summary, tolerate_wandb  # and with it Lightning

    with tolerate_wandb():
        import wandb

        table, folder = report.table, report.table.folder.resolve()
        logger = create_wandb_logger(
            project=settings.project,
            save_dir=str(folder),
            name=f"report of {folder.name}",
            group=config.get("group") or folder.name,
            job_type="report",
            tags=list(config.get("tags") or ()),
            mode=settings.mode,
            log_model=False,
            init_timeout=settings.init_timeout,
            finish_timeout=settings.finish_timeout,
            run_id=f"report-{sha256(bytes(folder)).hexdigest()[:8]}",
        )
        rows = [table.cells(job) for job in table.jobs]
        run = logger.experiment
        run.log({"report/jobs": wandb.Table(columns=[*table.headings], data=rows)})
        run.log({f"report/{path.stem}": wandb.Image(str(path)) for path in report.pictures.values()})
        if best := table.best:
            figures = {"val/f1": best.f1, "model/macs": best.macs, "val/score": best.score}
            log_summary([logger], {"best/job": best.name, **{f"best/{key}": value for key, value in figures.items()}})
        finish_wandb(0)
