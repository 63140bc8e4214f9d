"""Table of the jobs of a sweep: which stand in the front, in which order, and how the figures are written."""

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trashlite.reports.sweep.pareto import non_dominated
from trashlite.reports.sweep.records import STATES, Job, varied_keys

FRONT_MARK = "●"
LONG = 60  # characters; longer overrides are shown without what all jobs have in common
DATA = "data"
HEADINGS = (
    *("front", "job", DATA, "F1", "MACs", "score"),
    *("overrides", "state", "minutes", "params", "trial", "checkpoint"),
    "W&B id",
)
NUMERIC = {"trial", "F1", "MACs", "params", "score", "minutes"}


@dataclass(frozen=True)
class SweepTable:
    """The jobs in the order in which they are shown: best score first, those without a result at the end.

    Jobs of one data set stand together, those of the set with most of them first.
    """

    folder: Path
    jobs: list[Job]
    front: frozenset[str]
    """Names of the jobs that no other on the same data beats in F1 or MACs without being worse in the other figure."""
    varied: list[str]
    """The settings in which the jobs differ."""

    @classmethod
    def of(cls, folder: Path, jobs: list[Job]) -> "SweepTable":
        sizes = Counter(job.data for job in jobs if job.state == "completed")
        front: set[str] = set()
        for data in sizes:
            rivals = [job for job in jobs if job.state == "completed" and job.data == data]
            marks = non_dominated([(job.f1, job.macs) for job in rivals], maximize=(True, False))
            front |= {job.name for job, mark in zip(rivals, marks, strict=True) if mark}
        ordered = sorted(jobs, key=lambda job: (-sizes[job.data], job.data, rank(job)))
        return cls(folder, ordered, frozenset(front), varied_keys(jobs))

    @cached_property
    def data_sets(self) -> list[str]:
        """The data sets on which jobs completed, that of most of them first."""
        return list(dict.fromkeys(job.data for job in self.jobs if job.state == "completed"))

    @property
    def best(self) -> Job | None:
        """The best job on the data of most."""
        return self.best_of(self.data_sets[0]) if self.data_sets else None

    def best_of(self, data: str) -> Job | None:
        """The job of the best score; without scores, or with all below the floor, of the highest F1."""
        job = next((job for job in self.jobs if job.data == data and job.state == "completed"), None)
        return job if job and (job.score, job.f1) != (None, None) else None

    @property
    def headings(self) -> list[str]:
        """Those of the columns that say something: the data set where there are several."""
        return [heading for heading in HEADINGS if heading != DATA or len({job.data for job in self.jobs} - {""}) > 1]

    @property
    def unfinished(self) -> list[Job]:
        """The jobs without a result, in the order of the table."""
        return [job for job in self.jobs if job.state != "completed"]

    def overrides(self, job: Job) -> str:
        """The overrides of a job in a line; where those of a job are long, only what differs between jobs."""
        return " ".join(self.differing(job) if self.is_cut else job.overrides)

    def differing(self, job: Job) -> list[str]:
        """The overrides in which it differs from other jobs, shortened; all of a job that stands alone."""
        keys = self.varied if len(self.jobs) > 1 else list(job.settings)
        return [f"{key}={short(job.settings[key])}" for key in keys if key in job.settings]

    @property
    def is_cut(self) -> bool:
        return len(self.jobs) > 1 and any(len(" ".join(job.overrides)) > LONG for job in self.jobs)

    @property
    def common(self) -> str:
        """The overrides of all jobs that `overrides` leaves out."""
        return " ".join(
            f"{key}={text(value)}"
            for key, value in self.jobs[0].settings.items()
            if self.is_cut and key not in self.varied
        )

    def cells(self, job: Job) -> list[str]:
        """The row of a job under `headings`, for people."""
        cells = {
            "front": FRONT_MARK if job.name in self.front else "",
            "job": job.name,
            DATA: job.data,
            "F1": number(job.f1, ".4f"),
            "MACs": number(job.macs, ",.0f"),
            "score": number(job.score, ".4f"),
            "overrides": self.overrides(job),
            "state": job.state,
            "minutes": number(job.minutes, ".1f"),
            "params": number(job.params, ",.0f"),
            "trial": "" if job.trial is None else str(job.trial),
            "checkpoint": relative(job.checkpoint, self.folder),
            "W&B id": job.wandb_id,
        }
        return [cells[heading] for heading in self.headings]

    @property
    def has_trade_off(self) -> bool:
        """Whether jobs on the same data differ in MACs; else the front is the highest F1 alone."""
        macs = {(job.data, job.macs) for job in self.jobs if job.state == "completed" and job.macs is not None}
        return len(macs) > len(self.data_sets)

    @property
    def meaning(self) -> str:
        """Meaning of the front's mark, as a sentence that goes on after it."""
        others = "on the same data " if len(self.data_sets) > 1 else ""
        if not self.has_trade_off:
            return f"the highest F1 {others}(all jobs have the same MACs)"
        return f"no other job {others}is better in F1 or MACs without being worse in the other"

    def counts(self) -> str:
        """`60 jobs: 50 completed, 10 pruned; 7 in the front`."""
        each = {state: sum(job.state == state for job in self.jobs) for state in STATES}
        states = ", ".join(f"{count} {state}" for state, count in each.items() if count)
        noun = "job" if len(self.jobs) == 1 else "jobs"
        sets = f", of {len(self.data_sets)} data sets" if len(self.data_sets) > 1 else ""
        front = f"; {len(self.front)} in the F1/MACs front" if self.has_trade_off else ""
        return f"{len(self.jobs)} {noun}: {states}{front}{sets}"

    def csv(self) -> str:
        """For programs: full figures, all overrides, the reason, and a column for each setting that varies."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                *("job", "data", "trial", "promoted_from", "front", "overrides", "f1", "macs", "params", "score"),
                *("state", "minutes", "checkpoint", "wandb_id", "reason", *self.varied),
            ]
        )
        for job in self.jobs:
            figures = (job.f1, job.macs, job.params, job.score)
            writer.writerow(
                [
                    job.name,
                    job.data,
                    job.trial,
                    job.promoted_from,
                    int(job.name in self.front),
                    " ".join(job.overrides),
                    *figures,
                    job.state,
                    job.minutes,
                    job.checkpoint,
                    job.wandb_id,
                    job.reason,
                    *(text(job.settings[key]) if key in job.settings else "" for key in self.varied),
                ]
            )
        return file.getvalue()

    def markdown(self) -> str:
        """In GitHub's Markdown."""
        rules = ["---:" if heading in NUMERIC else "---" for heading in self.headings]
        rows = [self.headings, rules, *([markdown_cell(cell) for cell in self.cells(job)] for job in self.jobs)]
        common = f"\nAll jobs: {markdown_cell(self.common)}\n" if self.common else ""
        return "".join(f"| {' | '.join(row)} |\n" for row in rows) + common


def rank(job: Job) -> tuple[Any, ...]:
    """Sorts completed jobs by score, those below the floor by F1, those without a figure behind; then other states.

    Below the floor a score is 1 and more, the less the fewer MACs there are, however useless the network.
    """

    def best_first(value: float | None, sign: int = 1) -> tuple[bool, float]:
        return value is None, sign * (value or 0)

    is_useless = job.f1 is not None and job.floor is not None and job.f1 < job.floor
    score = None if is_useless else job.score
    figures = (best_first(score), best_first(job.f1, -1), best_first(job.macs))
    return STATES.index(job.state), *(figures if job.state == "completed" else ())


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
