"""What Hydra needs around jobs: their folders, a check of them before, a table of all jobs after a multirun.

Imported by every process that runs jobs (its callbacks are unpickled there), so the resolvers stand here.
"""

import atexit
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

RECORD = "run.json"


def run_dir(resume: str | None, new_folder: str) -> str:
    """A resumed run goes on in its own folder: the one above the checkpoint's."""
    return str(Path(resume).resolve().parent.parent) if resume else new_folder


def sweep_dir(study_name: str | None, new_folder: str) -> str:
    """A search goes on in its own folder when the same command is given again."""
    return f"logs/sweeps/{study_name}" if study_name else new_folder


OmegaConf.register_new_resolver("run_dir", run_dir, replace=True)
OmegaConf.register_new_resolver("sweep_dir", sweep_dir, replace=True)
OmegaConf.register_new_resolver("hydra_subdir", lambda resume: ".hydra_resumed" if resume else ".hydra", replace=True)


def sweep_trial() -> dict[str, Any] | None:
    """Whose job this is, `study`, `params`, and `number` or `promoted_from`; None outside an Optuna sweep."""
    if not HydraConfig.initialized():
        return None
    trial = OmegaConf.select(HydraConfig.get(), "sweeper.trial")  # type: ignore[arg-type]
    return None if trial is None else OmegaConf.to_container(trial)  # type: ignore[return-value]


def is_trial() -> bool:
    """Whether this job is a trial of an Optuna study, which may be pruned; a promoted one is not."""
    return "number" in (sweep_trial() or {})


class CheckOutputFolder(Callback):
    """Stop with one clear line, before anything else, when the output folder cannot be written."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.check(config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.check(config.hydra.sweep.dir, "hydra.sweep.dir")

    @staticmethod
    def check(folder: str, key: str) -> None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            sys.stderr.write(f"Cannot write to {folder}: {error.strerror}. Choose another folder with {key}=PATH.\n")
            sys.exit(1)


class JobsTable(Callback):
    """Print what became of every job when a multirun ends, however it ends.

    It reads the record that each job leaves in its own folder, so it is the same for every launcher.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra skips `on_multirun_end` when a job failed.
        atexit.register(self.print_table, Path(config.hydra.sweep.dir))

    @staticmethod
    def print_table(sweep_dir: Path) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"Jobs of {sweep_dir}", title_justify="left")
        for heading in ("job", "overrides", "state", "val F1", "MACs", "score"):
            table.add_column(heading, overflow="fold")
        failures = []
        jobs = sorted((folder.parent for folder in sweep_dir.glob("*/.hydra")), key=job_order)
        all_overrides: list[Any] = [
            OmegaConf.to_container(OmegaConf.load(job / ".hydra" / "overrides.yaml")) for job in jobs
        ]
        common = set.intersection(*map(set, all_overrides)) if len(jobs) > 1 else set()
        for job, given in zip(jobs, all_overrides, strict=True):
            overrides = " ".join(text for text in given if text not in common)
            record = read_record(job)
            state = record.get("state", "unfinished")
            if state not in ("completed", "pruned"):
                failures.append((job.name, record.get("error", "stopped before its end")))
            style = {"completed": None, "pruned": "dim", "failed": "red"}.get(state, "yellow")
            values = [format_number(record.get(key), form) for key, form in COLUMNS]
            table.add_row(job.name, escape(overrides), state, *values, style=style)
        if common:
            table.caption = escape(f"All jobs: {' '.join(text for text in all_overrides[0] if text in common)}")
            table.caption_justify = "left"
        console = Console(stderr=True)
        console.print(table)
        for name, error in failures:
            console.print(f"[red]job {name}:[/red] ", end="")
            console.print(error, markup=False, highlight=False)


COLUMNS = (("val/f1", ".4f"), ("model/macs", ",.0f"), ("val/score", ".4f"))


def job_order(folder: Path) -> tuple[int, str]:
    return (int(folder.name), "") if folder.name.isdigit() else (sys.maxsize, folder.name)


def format_number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record a job left in its folder; empty where it left none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
