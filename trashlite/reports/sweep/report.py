"""Report of a sweep: table, pictures, one page, and its best job ready to run again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trashlite.errors import UserError
from trashlite.files import CONF, write_text
from trashlite.metrics import competition_score
from trashlite.reports.pictures import save_figure
from trashlite.reports.sweep.front import front_figure
from trashlite.reports.sweep.page import page
from trashlite.reports.sweep.parallel import parallel_figure
from trashlite.reports.sweep.parameters import Parameters
from trashlite.reports.sweep.pictures import DPI, NothingToShow, history_figure, importance_figure
from trashlite.reports.sweep.records import DEPTH, HYDRA, Job, read_jobs, read_yaml
from trashlite.reports.sweep.table import SweepTable, number
from trashlite.settings.config import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

PICTURES, PAGE = "pictures", "report.html"
CAPTIONS = {
    "front": "F1/MACs front",
    "history": "Optimisation history",
    "importance": "Parameter importances",
    "parallel": "Parallel coordinates",
}
LEFT_OUT = {"submit": "only submitted", "show_data": "only showed data"}  # jobs that trained nothing

# The YAML and the command of an experiment that runs a job again, given job, folder of the sweep and a summary.
Experiment = Callable[[Job, Path, str], tuple[str, str]]


@dataclass
class Report:
    """Files that were written, and those left out with the reason."""

    table: SweepTable
    pictures: dict[str, Path] = field(default_factory=dict)
    """Caption -> file."""
    notes: list[str] = field(default_factory=list)
    again: str | None = None
    """The command that runs the best job once more."""


def write_report(folder: Path, experiment: Experiment) -> Report:
    """Write report.csv, report.md, report.html, pictures/ and experiment/best_experiment.yaml into the folder.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    jobs, notes = read_folder(folder)
    constants = score_constants(jobs)
    jobs = [with_score(job, constants) for job in jobs]
    report = Report(SweepTable.of(folder, jobs), notes=notes)
    table = report.table
    write_text(folder / "report.csv", table.csv())
    draw(report, jobs, constants)
    text = None
    if best := table.best:
        figures = f"F1 {number(best.f1, '.4f')}, {number(best.macs, ',.0f')} MACs, score {number(best.score, '.4f')}"
        try:
            text, report.again = experiment(best, folder, figures)
            write_text(folder / "experiment" / "best_experiment.yaml", text)
        except UserError as error:
            report.notes.append(f"No experiment of the best job: {error}")
    title = f"Sweep {folder.resolve().name}"
    write_text(folder / "report.md", markdown(title, report, text))
    write_text(folder / PAGE, page(title, table, report.pictures, report.notes, text))
    return report


def read_folder(folder: Path) -> tuple[list[Job], list[str]]:
    """The jobs of a folder, of which there is at least one, and what was left out.

    Raises:
        UserError: there is none.
    """
    where = "Sweeps lie in logs/sweeps/<name> and logs/multiruns/<time>, single runs in logs/runs."
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. {where}")
    found = read_jobs(folder, ceilings_of(folder))
    jobs = [job for job in found if job.kind not in LEFT_OUT]
    if not jobs:
        raise UserError(
            f"There is no run in {folder}, nor up to {DEPTH} folders below it: a run leaves run.json and .hydra/. "
            f"{where}"
        )
    counts = {kind: sum(job.kind == kind for job in found) for kind in LEFT_OUT}
    reasons = [f"{count} that {LEFT_OUT[kind]}" for kind, count in counts.items() if count]
    return jobs, [f"Left out: {', '.join(reasons)}."] if reasons else []


def ceilings_of(folder: Path) -> dict[str, float]:
    """The constraints of a search: figure -> the most that it may be."""
    try:
        ceilings = json.loads((folder / "sweep.json").read_text(encoding="utf-8")).get("constraints") or {}
        return {str(name): float(most) for name, most in ceilings.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def score_constants(jobs: list[Job]) -> dict[str, float]:
    """The constants of the score: those of the first job that left sound ones, else of the program."""
    for path in [*(job.folder / HYDRA / "config.yaml" for job in jobs), CONF / "config.yaml"]:
        config = read_yaml(path)
        if isinstance(config, dict) and isinstance(config.get("score"), dict):
            with suppress(ValidationError):
                return Score.model_validate(config["score"], strict=False).model_dump()
    raise AssertionError("unreachable: conf/config.yaml has them")


def with_score(job: Job, constants: dict[str, float]) -> Job:
    """A run whose MACs were counted only at its end has no score of its own."""
    job = job if job.floor is not None else replace(job, floor=constants["floor"])
    if job.state != "completed" or job.score is not None or job.f1 is None or job.macs is None:
        return job
    try:
        return replace(job, score=competition_score(job.f1, job.macs, **constants))
    except ValueError:  # figures that no run has
        return job


def draw(report: Report, jobs: list[Job], constants: dict[str, float]) -> None:
    """Write the pictures that make sense; a note tells why another does not.

    Each data set has its front; what tells of the search itself is drawn for the one with most jobs.
    """
    table = report.table
    sets = table.data_sets or [""]
    own = [job for job in jobs if job.data == sets[0]] if len(sets) > 1 else jobs
    parameters = Parameters.of(own, load_study(table.folder, report.notes))
    figures: dict[str, tuple[str, Callable[[], Figure]]] = {}
    for index, data in enumerate(sets):
        name, caption = (
            ("front", CAPTIONS["front"])
            if len(sets) == 1
            else ("front" if index == 0 else f"front_{data.replace('/', '_')}", f"{CAPTIONS['front']} on {data}")
        )
        figures[name] = (caption, lambda data=data: front_figure(table, constants, data))  # type: ignore[misc]
    on = f" on {sets[0]}" if len(sets) > 1 else ""
    figures["history"] = (CAPTIONS["history"] + on, lambda: history_figure(own))
    figures["importance"] = (CAPTIONS["importance"] + on, lambda: importance_figure(parameters))
    figures["parallel"] = (CAPTIONS["parallel"] + on, lambda: parallel_figure(parameters))
    for name, (caption, figure) in figures.items():
        path = table.folder / PICTURES / f"{name}.png"
        try:
            report.pictures[caption] = save_figure(figure(), path, dpi=DPI)
        except NothingToShow as reason:
            path.unlink(missing_ok=True)  # of an earlier report
            report.notes.append(f"No picture “{caption}”: {reason}.")
        except OSError:
            raise
        except Exception as error:  # one picture less must not cost the others
            log.debug("picture %s", name, exc_info=True)
            report.notes.append(f"The picture “{caption}” failed: {error!r}.")


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
    parts += [f"![{caption}]({PICTURES}/{path.name})" for caption, path in report.pictures.items()]
    parts += report.notes
    parts += [f"The best job as an experiment:\n\n```yaml\n{experiment}```"] if experiment else []
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def reasons_of(table: SweepTable) -> list[str]:
    """Reasons why jobs have no result, a line each."""
    return [f"job {job.name} {job.state}: {' '.join(job.reason.split())}" for job in table.unfinished]
