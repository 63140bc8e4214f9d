"""The jobs of a sweep as one table: which stand in the front, in which order, and how the figures are written."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from trashlite.reports.sweep.pareto import non_dominated
from trashlite.reports.sweep.records import STATES, Job, varied_keys

FRONT_MARK = "●"
LONG = 60  # characters; longer overrides are shown without what all jobs have in common
CONSOLE_ROWS = 50
STYLES = {"completed": None, "pruned": "dim", "failed": "red", "unfinished": "yellow"}
HEADINGS = ("front", "job", "trial", "overrides", "F1", "MACs", "params", "score", "state", "minutes", "checkpoint",
            "W&B id")  # fmt: skip
NUMERIC = {"trial", "F1", "MACs", "params", "score", "minutes"}


@dataclass(frozen=True)
class SweepTable:
    """The jobs in the order in which they are shown: best score first, those without a result at the end."""

    folder: Path
    jobs: list[Job]
    front: frozenset[str]
    """Names of the jobs of which no other has both a higher F1 and fewer MACs; promoted ones, which were trained in
    full, stand among themselves."""
    varied: list[str]
    """The settings in which the jobs differ."""

    @classmethod
    def of(cls, folder: Path, jobs: list[Job]) -> "SweepTable":
        front: set[str] = set()
        for is_promoted in (False, True):
            rivals = [job for job in jobs if job.state == "completed" and bool(job.promoted_from) == is_promoted]
            marks = non_dominated([(job.f1, job.macs) for job in rivals], maximize=(True, False))
            front |= {job.name for job, mark in zip(rivals, marks, strict=True) if mark}
        return cls(folder, sorted(jobs, key=rank), frozenset(front), varied_keys(jobs))

    @property
    def best(self) -> Job | None:
        """The job of the best score; without scores of the highest F1."""
        job = self.jobs[0] if self.jobs else None
        return job if job and job.state == "completed" and (job.score, job.f1) != (None, None) else None

    @property
    def unfinished(self) -> list[Job]:
        """The jobs without a result, in the order of the table."""
        return [job for job in self.jobs if job.state != "completed"]

    def overrides(self, job: Job) -> str:
        """The overrides of a job in a line; where those of a job are long, only what differs between jobs."""
        if self.is_cut:
            return " ".join(f"{key}={short(job.settings[key])}" for key in self.varied if key in job.settings)
        return " ".join(job.overrides)

    @property
    def is_cut(self) -> bool:
        return len(self.jobs) > 1 and any(len(" ".join(job.overrides)) > LONG for job in self.jobs)

    @property
    def common(self) -> str:
        """The overrides of all jobs that `overrides` leaves out."""
        return " ".join(f"{key}={text(value)}" for key, value in self.jobs[0].settings.items()
                        if self.is_cut and key not in self.varied)  # fmt: skip

    def cells(self, job: Job) -> list[str]:
        """The row of a job under `HEADINGS`, for people."""
        return [
            FRONT_MARK if job.name in self.front else "",
            job_text(job),
            "" if job.trial is None else str(job.trial),
            self.overrides(job),
            number(job.f1, ".4f"),
            number(job.macs, ",.0f"),
            number(job.params, ",.0f"),
            number(job.score, ".4f"),
            job.state,
            number(job.minutes, ".1f"),
            relative(job.checkpoint, self.folder),
            job.wandb_id,
        ]

    def counts(self) -> str:
        """`60 jobs: 50 completed, 10 pruned; 7 in the front`."""
        each = {state: sum(job.state == state for job in self.jobs) for state in STATES}
        states = ", ".join(f"{count} {state}" for state, count in each.items() if count)
        noun = "job" if len(self.jobs) == 1 else "jobs"
        return f"{len(self.jobs)} {noun}: {states}; {len(self.front)} in the F1/MACs front"

    def rich(self) -> Table:
        """For the console; columns that are empty in every row are left out."""
        shown = self.jobs[:CONSOLE_ROWS]
        rows = [self.cells(job) for job in shown]
        used = [index for index, _ in enumerate(HEADINGS) if any(row[index] for row in rows)]
        table = Table(title=f"Jobs of {escape(str(self.folder))}", title_justify="left", caption_justify="left")
        table.caption = f"{FRONT_MARK} no other job has both a higher F1 and fewer MACs. {self.counts()}."
        if len(self.jobs) > len(shown):
            table.caption += f" {len(self.jobs) - len(shown)} more rows in report.csv."
        if self.common:
            table.caption += f"\nAll jobs: {escape(self.common)}"
        for index in used:
            heading = "" if HEADINGS[index] == "front" else HEADINGS[index]
            table.add_column(heading, overflow="fold", justify="right" if heading in NUMERIC else "left")
        for job, row in zip(shown, rows, strict=True):
            table.add_row(*(escape(row[index]) for index in used), style=STYLES[job.state])
        return table

    def csv(self) -> str:
        """For programs: full figures, all overrides, the reason, and a column for each setting that varies."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["job", "trial", "promoted_from", "front", "overrides", "f1", "macs", "params", "score", "state", "minutes",
             "checkpoint", "wandb_id", "reason", *self.varied]
        )  # fmt: skip
        for job in self.jobs:
            figures = (job.f1, job.macs, job.params, job.score)
            writer.writerow(
                [job.name, job.trial, job.promoted_from, int(job.name in self.front), " ".join(job.overrides),
                 *figures, job.state, job.minutes, job.checkpoint, job.wandb_id, job.reason,
                 *(text(job.settings[key]) if key in job.settings else "" for key in self.varied)]
            )  # fmt: skip
        return file.getvalue()

    def markdown(self) -> str:
        """In GitHub's Markdown."""
        rules = ["---:" if heading in NUMERIC else "---" for heading in HEADINGS]
        rows = [[*HEADINGS], rules, *([markdown_cell(cell) for cell in self.cells(job)] for job in self.jobs)]
        common = f"\nAll jobs: {markdown_cell(self.common)}\n" if self.common else ""
        return "".join(f"| {' | '.join(row)} |\n" for row in rows) + common


def rank(job: Job) -> tuple[Any, ...]:
    """Sorts completed jobs by score, then F1, then MACs, those without a figure behind; then the other states."""

    def best_first(value: float | None, sign: int = 1) -> tuple[bool, float]:
        return value is None, sign * (value or 0)

    figures = (best_first(job.score), best_first(job.f1, -1), best_first(job.macs))
    return STATES.index(job.state), *(figures if job.state == "completed" else ())


def job_text(job: Job) -> str:
    return f"{job.name} (from {job.promoted_from})" if job.promoted_from else job.name


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def text(value: Any) -> str:
    """A setting as people write it: `null`, `true`, `[32,48]`, words without quotes."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def short(value: Any) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else text(value)
    return shown if len(shown) <= LONG else f"{shown[: LONG - 1]}…"


def relative(path: str, folder: Path) -> str:
    """A path below the folder as seen from there."""
    for base in (folder, folder.resolve()):
        if path and Path(path).is_relative_to(base):
            return str(Path(path).relative_to(base))
    return path


MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\|*_`[]<>"})


def markdown_cell(cell: str) -> str:
    return " ".join(cell.split()).translate(MARKDOWN)
