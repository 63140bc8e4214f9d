"""What a sweep ends with: table, pictures, one page, and its best job ready to run again.

python -m trashlite.reports.sweep.report DIR does the same for any folder of runs.
"""

from __future__ import annotations

import atexit
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from trashlite.errors import UserError
from trashlite.files import write_text
from trashlite.reports.sweep.records import DEPTH, Job, find_jobs, read_jobs

if TYPE_CHECKING:  # Hydra imports this module at every start
    from matplotlib.figure import Figure
    from rich.console import Console

    from trashlite.reports.sweep.table import SweepTable

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[3]
PICTURES, PAGE = "pictures", "report.html"
CAPTIONS = {
    "front": "F1/MACs front",
    "history": "Optimisation history",
    "importance": "Parameter importances",
    "parallel": "Parallel coordinates",
}


class SweepReport(Callback):
    """Report a multirun when it ends, however it ends.

    It reads what each job left in its own folder, so it is the same for every launcher.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra skips `on_multirun_end` when a job failed or the sweep was stopped.
        atexit.register(report_in_new_process, Path(config.hydra.sweep.dir).resolve())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from rich.console import Console

        atexit.unregister(report_in_new_process)
        report_to(Console(stderr=True), Path(config.hydra.sweep.dir))


def report_in_new_process(folder: Path) -> None:
    """At the end of a process no thread can be started in it, and W&B needs some."""
    if any(find_jobs(folder, DEPTH)):
        command = [sys.executable, "-m", "trashlite.reports.sweep.report", str(folder)]
        subprocess.run(command, cwd=PROJECT, stdout=sys.stderr.fileno(), check=False)


@dataclass
class Report:
    """What was written, and what was left out and why."""

    table: SweepTable
    pictures: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    again: str | None = None
    """The command that runs the best job once more."""


def report_to(console: Console, folder: Path) -> bool:
    """Write the report and show it; tell in one line what stood in the way, and return whether nothing did."""
    try:
        report = write_report(folder)
    except UserError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return False
    except OSError as error:
        console.print(f"Cannot write the report to {folder}: {error.strerror or error}.", markup=False, soft_wrap=True)
        return False
    show(report, console)
    return True


def write_report(folder: Path) -> Report:
    """Write report.csv, report.md, report.html, pictures/ and experiment/best_experiment.yaml into the folder.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    from trashlite.reports.sweep.experiment import FOLDER, NAME, best_experiment
    from trashlite.reports.sweep.page import page
    from trashlite.reports.sweep.table import SweepTable, number

    jobs = read_folder(folder)
    config = first_config(jobs)
    constants = score_constants(config)
    jobs = [with_score(job, constants) for job in jobs]
    report = Report(SweepTable.of(folder, jobs))
    table = report.table
    write_text(folder / "report.csv", table.csv())
    draw(report, jobs, constants)
    yaml = None
    if table.best:
        best = table.best
        figures = f"F1 {number(best.f1, '.4f')}, {number(best.macs, ',.0f')} MACs, score {number(best.score, '.4f')}"
        try:
            yaml, report.again = best_experiment(table.best, folder, figures)
            write_text(folder / FOLDER / f"{NAME}.yaml", yaml)
        except UserError as error:
            report.notes.append(f"No experiment of the best job: {error}")
    title = f"Sweep {folder.resolve().name}"
    write_text(folder / "report.md", markdown(title, report, yaml))
    captioned = {CAPTIONS[name]: path for name, path in report.pictures.items()}
    write_text(folder / PAGE, page(title, table, captioned, report.notes, yaml))
    log_to_wandb(report, config)
    return report


def read_folder(folder: Path) -> list[Job]:
    """The jobs of a folder, of which there is at least one.

    Raises:
        UserError: there is none.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Sweeps lie in logs/multiruns/<time>, single runs in logs/runs.")
    jobs = read_jobs(folder)
    if not jobs:
        raise UserError(
            f"There is no run in {folder}, nor up to {DEPTH} folders below it: a run leaves run.json and .hydra/. "
            "Sweeps lie in logs/multiruns/<time>, single runs in logs/runs."
        )
    return jobs


def first_config(jobs: list[Job]) -> DictConfig | None:
    """The configuration of the first job that left a readable one."""
    from trashlite.reports.sweep.experiment import read_config

    for job in jobs:
        try:
            return read_config(job)
        except UserError:
            continue
    return None


def score_constants(config: DictConfig | None) -> dict[str, float]:
    """The constants of the score: those of the jobs, else of the program."""
    from omegaconf import OmegaConf

    from trashlite.reports.sweep.experiment import CONF

    score = OmegaConf.select(config, "score") if config is not None else None
    score = score or OmegaConf.select(OmegaConf.load(CONF / "config.yaml"), "score")
    return {str(key): float(value) for key, value in score.items()}


def with_score(job: Job, constants: dict[str, float]) -> Job:
    """A run whose MACs were counted only at its end has no score of its own."""
    from trashlite.metrics import competition_score

    if job.state != "completed" or job.score is not None or job.f1 is None or job.macs is None:
        return job
    return replace(job, score=competition_score(job.f1, job.macs, **constants))


def draw(report: Report, jobs: list[Job], constants: dict[str, float]) -> None:
    """Write the pictures that make sense; a note tells why another does not."""
    from trashlite.reports.pictures import save_figure
    from trashlite.reports.sweep.front import front_figure
    from trashlite.reports.sweep.parallel import parallel_figure
    from trashlite.reports.sweep.parameters import Parameters
    from trashlite.reports.sweep.pictures import DPI, NothingToShow, history_figure, importance_figure

    table = report.table
    parameters = Parameters.of(jobs, load_study(table.folder, report.notes))
    figures: dict[str, Callable[[], Figure]] = {
        "front": lambda: front_figure(table, constants),
        "history": lambda: history_figure(jobs),
        "importance": lambda: importance_figure(parameters),
        "parallel": lambda: parallel_figure(parameters),
    }
    for name, figure in figures.items():
        path = table.folder / PICTURES / f"{name}.png"
        try:
            report.pictures[name] = save_figure(figure(), path, dpi=DPI)
        except NothingToShow as reason:
            path.unlink(missing_ok=True)  # of an earlier report
            report.notes.append(f"No picture “{CAPTIONS[name]}”: {reason}.")
        except OSError:
            raise
        except Exception as error:  # one picture less must not cost the others
            log.debug("picture %s", name, exc_info=True)
            report.notes.append(f"The picture “{CAPTIONS[name]}” failed: {error!r}.")


def load_study(folder: Path, notes: list[str]) -> Any:
    """The Optuna study of the sweep, which knows the scales of its parameters; None without one."""
    try:
        from trashlite.sweeps.storage import load_study as load

        return load(folder)
    except ImportError:
        return None
    except Exception as error:  # a data base that cannot be reached, a file that another version wrote
        reason = str(error).partition("\n")[0] or type(error).__name__
        notes.append(f"The Optuna study cannot be read ({reason}): the records alone are used.")
        return None


def markdown(title: str, report: Report, experiment: str | None) -> str:
    parts = [f"# {title}", f"{report.table.counts()}.", report.table.markdown()]
    reasons = [f"- {line}" for line in reasons_of(report.table)]
    parts += ["\n".join(reasons)] if reasons else []
    parts += [f"![{CAPTIONS[name]}]({PICTURES}/{path.name})" for name, path in report.pictures.items()]
    parts += report.notes
    parts += [f"The best job as an experiment:\n\n```yaml\n{experiment}```"] if experiment else []
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def reasons_of(table: SweepTable) -> list[str]:
    """Why jobs have no result, in a line each."""
    return [f"job {job.name} {job.state}: {' '.join(job.reason.split())}" for job in table.unfinished]


def log_to_wandb(report: Report, config: DictConfig | None) -> None:
    """A run of its own in the group of the jobs, with table and pictures; an earlier one of the folder is replaced."""
    from omegaconf import OmegaConf

    settings = OmegaConf.select(config, "logger.wandb") if config is not None else None
    if config is None or not settings:  # the jobs were not tracked
        return
    from loggers.wandb import create_wandb_logger, finish_wandb, log_summary, tolerate_wandb
    from trashlite.reports.sweep.table import HEADINGS

    with tolerate_wandb():
        import wandb

        table, folder = report.table, report.table.folder.resolve()
        logger = create_wandb_logger(
            project=settings.project, save_dir=str(folder), name=f"report of {folder.name}",
            group=config.get("group") or folder.name, job_type="report", tags=list(config.get("tags") or ()),
            mode=settings.mode, log_model=False, init_timeout=settings.init_timeout,
            finish_timeout=settings.finish_timeout, run_id=f"report-{sha256(bytes(folder)).hexdigest()[:8]}",
        )  # fmt: skip
        rows = [table.cells(job) for job in table.jobs]
        run = logger.experiment
        run.log({"report/jobs": wandb.Table(columns=list(HEADINGS), data=rows)})
        run.log({f"report/{name}": wandb.Image(str(path)) for name, path in report.pictures.items()})
        if best := table.best:
            figures = {"val/f1": best.f1, "model/macs": best.macs, "val/score": best.score}
            log_summary([logger], {"best/job": best.name, **{f"best/{key}": value for key, value in figures.items()}})
        finish_wandb(0)


def show(report: Report, console: Console) -> None:
    """The table, why jobs have no result, and where everything lies."""
    from rich.text import Text

    if not console.is_terminal:
        console.width = 200  # a file has no width, and folded cells cannot be searched
    console.print(report.table.rich())
    reasons = reasons_of(report.table)
    lines = [(line, "red" if " failed: " in line else "yellow") for line in reasons[:SHOWN_REASONS]]
    if len(reasons) > SHOWN_REASONS:
        lines.append((f"{len(reasons) - SHOWN_REASONS} more reasons in report.md", "yellow"))
    lines += [(note, "dim") for note in report.notes]
    lines += [(f"best job again: {report.again}", "")] if report.again else []
    lines += [(f"page: {report.table.folder / PAGE}", "")]
    for line, style in lines:
        console.print(Text(line, style), soft_wrap=True)


SHOWN_REASONS = 20


def main() -> None:
    from rich.console import Console

    if len(sys.argv) != 2:
        sys.exit("Which folder? python -m trashlite.reports.sweep.report DIR, e.g. logs/multiruns/<time>")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("loggers").setLevel(logging.INFO)  # where W&B lies
    sys.exit(0 if report_to(Console(), Path(sys.argv[1])) else 1)


if __name__ == "__main__":
    main()
