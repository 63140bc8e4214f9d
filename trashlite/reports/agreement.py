"""Agreement of two submissions: what can be told of two networks where images have no labels."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from trashlite.errors import UserError
from trashlite.files import to_json, write_text
from trashlite.reports.pictures import confusion_matrix_figure, save_figure
from trashlite.reports.predictions import FILE, LABEL, read_table

RECORD, PICTURE = "agreement.json", "agreement.png"
MOST_SHOWN = 8  # kinds of disagreement


@dataclass(frozen=True)
class Agreement:
    """Two submissions of the same files."""

    name_a: str
    name_b: str
    labels_a: list[str]
    labels_b: list[str]

    @property
    def equal(self) -> int:
        """Files that both call the same."""
        return sum(a == b for a, b in zip(self.labels_a, self.labels_b, strict=True))

    @property
    def classes(self) -> list[str]:
        return sorted({*self.labels_a, *self.labels_b})

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what the frequencies of the classes alone would give, at most 1."""
        return 1.0 if self.labels_a == self.labels_b else float(cohen_kappa_score(self.labels_a, self.labels_b))

    def disagreements(self) -> list[tuple[str, str, int]]:
        """Disagreements: A's class, B's class and the number of files, most frequent first."""
        pairs = Counter((a, b) for a, b in zip(self.labels_a, self.labels_b, strict=True) if a != b)
        return [(a, b, count) for (a, b), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))]

    def told(self) -> str:
        files = len(self.labels_a)
        return f"A and B agree on {self.equal:,} of {files:,} files ({self.equal / files:.1%}), kappa {self.kappa:.3f}."


def agreement_of(path_a: Path, path_b: Path) -> Agreement:
    """Read two submissions.

    Raises:
        UserError: a file that cannot be read, or submissions of other files.
    """
    a, b = read_submission(path_a), read_submission(path_b)
    if a.keys() != b.keys():
        both = len(a.keys() & b.keys())
        raise UserError(
            f"{path_a} and {path_b} are not of the same files: {len(a):,} and {len(b):,}, {both:,} in both."
        )
    files = sorted(a)
    return Agreement(str(path_a), str(path_b), [a[file] for file in files], [b[file] for file in files])


def read_submission(path: Path) -> dict[str, str]:
    """File and label of each row of submission.csv or submission.json.

    Raises:
        UserError: it is neither.
    """
    if path.suffix == ".json":
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["submission"]
            labels = {str(file): str(label) for file, label in found.items()}
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is no submission: it must hold file and label under `submission`.") from error
    else:
        columns, rows = read_table(path)
        if not {FILE, LABEL} <= {*columns}:
            raise UserError(f"{path} is no submission: its columns must be file and label.")
        labels = {}
        for number, row in enumerate(rows, start=2):
            if (before := labels.setdefault(row[FILE], row[LABEL])) != row[LABEL]:
                raise UserError(f"{path}, line {number}: {row[FILE]} is called {row[LABEL]} here and {before} before.")
    if not labels:
        raise UserError(f"{path} is no submission: it names no file.")
    return labels


def show_agreement(agreement: Agreement, folder: Path, console: Console) -> None:
    """Write `agreement.json` and `agreement.png` (rows A, columns B) into a folder, and print what differs most."""
    record = {
        "a": agreement.name_a,
        "b": agreement.name_b,
        "files": len(agreement.labels_a),
        "equal": agreement.equal,
        "kappa": agreement.kappa,
        "disagreements": [{"a": a, "b": b, "files": count} for a, b, count in agreement.disagreements()],
    }
    write_text(folder / RECORD, to_json(record) + "\n")
    counts = confusion_matrix(agreement.labels_a, agreement.labels_b, labels=agreement.classes)
    figure = confusion_matrix_figure(np.asarray(counts), agreement.classes, "agreement of A (rows) and B")
    save_figure(figure, folder / PICTURE)
    for letter, name in (("A", agreement.name_a), ("B", agreement.name_b)):
        console.print(f"{letter}: {name}", soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("A says", "B says", "files"):
        table.add_column(heading, justify="right" if heading == "files" else "left", no_wrap=True)
    for a, b, count in agreement.disagreements()[:MOST_SHOWN]:
        table.add_row(escape(a), escape(b), f"{count:,}")
    if table.rows:
        console.print(table)
    for line in (agreement.told(), str(folder / RECORD), str(folder / PICTURE)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
