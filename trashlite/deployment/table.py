"""Table of an export's formats, for people and for programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from trashlite.deployment.latency import describe_times
from trashlite.deployment.spec import ExportSpec
from trashlite.metrics import macro_f1
from trashlite.statistics import f1_difference

HEAD = (
    "format",
    "status",
    "file kB",
    "runtime MB",
    "max logit difference",
    "agreement %",
    "F1 (difference, interval)",
    "ms p50 / p95",
    "flash / RAM kB",
)


@dataclass(frozen=True)
class Judgement:
    """Results of a runtime on the validation images, beside torch's.

    Args:
        logit_difference: largest absolute one, over all images and classes.
        agreement: share of images with the same answer.
        f1: macro F1, in 0..1.
        f1_difference: to torch's, with its 95 % interval `low` to `high` (bootstrap, paired).
    """

    logit_difference: float
    agreement: float
    f1: float
    f1_difference: float
    low: float
    high: float


@dataclass(frozen=True)
class ExportRow:
    """One format: whether it works, what it weighs, how well and how fast it answers. None: unknown."""

    format: str
    status: str
    failed: bool = False
    file_kb: float | None = None
    runtime_mb: float | None = None
    judgement: Judgement | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    flash_kb: float | None = None
    ram_kb: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def judge(spec: ExportSpec, logits: NDArray[np.floating], reference: NDArray[np.floating]) -> Judgement:
    """Compare logits (N, C) of the validation images with torch's."""
    predicted, expected = logits.argmax(axis=1), reference.argmax(axis=1)
    classes = len(spec.class_names)
    difference = f1_difference(spec.val.targets, predicted[None], expected[None], classes).macro
    return Judgement(
        logit_difference=float(np.abs(logits - reference).max()),
        agreement=float((predicted == expected).mean()),
        f1=macro_f1(spec.val.targets, predicted, classes),
        f1_difference=difference.value,
        low=difference.low,
        high=difference.high,
    )


def export_table(rows: Sequence[ExportRow]) -> str:
    """The rows in Markdown, with their notes below."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells_of, rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    notes = [f"- {row.format}: {note}" for row in rows for note in row.notes]
    return "\n".join([table, *(["", *notes] if notes else [])])


def cells_of(row: ExportRow) -> tuple[str, ...]:
    """A row as text, in the order of `HEAD`."""
    judged = row.judgement
    return (
        row.format,
        row.status,
        _number(row.file_kb, ".0f"),
        _number(row.runtime_mb, ".0f"),
        _number(judged.logit_difference if judged else None, ".1e"),
        _number(100 * judged.agreement if judged else None, ".1f"),
        f"{judged.f1:.4f} ({judged.f1_difference:+.4f}, {judged.low:+.4f} to {judged.high:+.4f})" if judged else "–",
        f"{row.p50_ms:.3f} / {row.p95_ms:.3f}" if row.p50_ms is not None and row.p95_ms is not None else "–",
        f"{_number(row.flash_kb, '.0f')} / {_number(row.ram_kb, '.0f')}",
    )


def screen_table(rows: Sequence[ExportRow]) -> Table:
    """The figures of the rows, a column for each format, so that all of them fit into 80 columns."""
    table = Table("", *(row.format for row in rows), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for heading, form, value_of in FIGURES:
        values = map(value_of, rows)
        table.add_row(heading, *(_number(value, form) for value in values))
    return table


def remarks(rows: Sequence[ExportRow]) -> list[str]:
    """Lines to go below the figures: how each format fared, and its notes."""
    return [f"{row.format}: {'; '.join([row.status, *row.notes])}" for row in rows]


def _judged(name: str) -> Callable[[ExportRow], float | None]:
    return lambda row: getattr(row.judgement, name) if row.judgement else None


FIGURES: Sequence[tuple[str, str, Callable[[ExportRow], float | None]]] = (
    ("file, kB", ".0f", lambda row: row.file_kb),
    ("runtime, MB", ".0f", lambda row: row.runtime_mb),
    ("logits differ by", ".1e", _judged("logit_difference")),
    ("same answers", ".1%", _judged("agreement")),
    ("F1", ".4f", _judged("f1")),
    ("F1 less torch's", "+.4f", _judged("f1_difference")),
    ("  95 %: from", "+.4f", _judged("low")),
    ("  to", "+.4f", _judged("high")),
    ("ms, median", ".3f", lambda row: row.p50_ms),
    ("ms, 95 % within", ".3f", lambda row: row.p95_ms),
    ("flash, kB", ".0f", lambda row: row.flash_kb),
    ("RAM, kB", ".0f", lambda row: row.ram_kb),
)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def describe_machine() -> str:
    """Machine on which times were taken."""
    return f"{describe_times()} F1 and agreement are of files, each read by the runtime's own program where it has one."
