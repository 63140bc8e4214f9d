"""Predictions of a run or of a cross-validation as a CSV file, one row an image.

Columns: `file` (path below the data set's folder), `label` (its class), more of the writer's own, and `p_<Class>`, the
softmax probabilities in the order of the network. Where a file has several rows, they are of several seeds.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trashlite.errors import UserError
from trashlite.files import write_text

PROBABILITY = "p_"  # before the name of a class, which may be the name of another column
FILE, LABEL = "file", "label"
TEST_PREDICTIONS, OUT_OF_FOLD = "test_predictions.csv", "out_of_fold.csv"


@dataclass(frozen=True)
class Predictions:
    """Predictions of one or several networks for N labelled images."""

    class_names: list[str]
    files: list[str]
    """Sorted; each once."""
    labels: NDArray[np.int64]
    """(N,)"""
    probabilities: NDArray[np.float64]
    """(S, N, C): S is the number of seeds, 1 for a single run."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Classes (S, N)."""
        return self.probabilities.argmax(axis=2)

    @property
    def mean_predicted(self) -> NDArray[np.int64]:
        """Classes (N,) by the mean probabilities of all seeds."""
        return self.probabilities.mean(axis=0).argmax(axis=1)


def write_predictions(
    path: Path,
    class_names: Sequence[str],
    files: Sequence[str],
    labels: Sequence[str],
    probabilities: NDArray[np.floating],
    more: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write rows of probabilities (R, C) in the order given, with further columns by their names."""
    more = more or {}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([FILE, LABEL, *more, *(PROBABILITY + name for name in class_names)])
    numbers = ([f"{value:.7g}" for value in row] for row in probabilities)
    writer.writerows([*texts, *row] for *texts, row in zip(files, labels, *more.values(), numbers, strict=True))
    write_text(path, table.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read a file of `write_predictions`.

    Raises:
        UserError: there is no such file, or it is not what `write_predictions` writes.
    """
    columns, rows = read_table(path)
    if FILE not in columns or LABEL not in columns or not any(map(is_probability, columns)):
        raise UserError(f"{path} holds no predictions: its columns must be file, label and p_<Class> for each class.")
    class_names = [name.removeprefix(PROBABILITY) for name in columns if is_probability(name)]
    place = {name: number for number, name in enumerate(class_names)}
    found: dict[str, list[list[float]]] = {}
    label_of: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        file, label = row[FILE], row[LABEL]
        if label not in place:
            raise UserError(f"{path}, line {number}: {label!r} is none of the classes {', '.join(class_names)}.")
        if label_of.setdefault(file, label) != label:
            raise UserError(f"{path}, line {number}: {file} is called {label} here and {label_of[file]} before.")
        found.setdefault(file, []).append(_probabilities(path, number, row))
    if not found:
        raise UserError(f"{path} holds no predictions: there is no row below its head.")
    seeds = {len(each) for each in found.values()}
    if len(seeds) > 1:
        raise UserError(f"{path}: some files have {min(seeds)} rows and some {max(seeds)}; each needs one a seed.")
    files = sorted(found)
    return Predictions(
        class_names,
        files,
        np.array([place[label_of[file]] for file in files], dtype=np.int64),
        np.array([found[file] for file in files]).swapaxes(0, 1),
    )


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file with a head.

    Raises:
        UserError: it cannot be read, or a row has another number of cells than the head.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        columns, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is no CSV file with a head: {error}.") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise UserError(f"{path}, line {number}: {len(row)} cells instead of {len(columns)}.")
    return columns, [dict(zip(columns, row, strict=True)) for row in rows]


def holds_predictions(path: Path) -> bool:
    """Whether the head of a CSV file names probabilities."""
    return path.suffix == ".csv" and any(map(is_probability, read_table(path)[0]))


def is_probability(column: str) -> bool:
    return column.startswith(PROBABILITY)


def _probabilities(path: Path, number: int, row: Mapping[str, str]) -> list[float]:
    try:
        values = [float(text) for column, text in row.items() if is_probability(column)]
    except ValueError as error:
        raise UserError(f"{path}, line {number}: {error}.") from error
    if not all(0 <= value <= 1 for value in values) or not math.isclose(sum(values), 1, abs_tol=1e-3):
        raise UserError(f"{path}, line {number}: the probabilities are {values}; they must lie in 0..1 and sum to 1.")
    return values
