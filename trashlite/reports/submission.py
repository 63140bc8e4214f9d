"""Submission of predictions in the competition's form."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trashlite.compression import MacsReport
from trashlite.files import to_json, write_texts


def validate(submission: dict[str, str], expected: Sequence[str], class_names: Sequence[str]) -> None:
    """Raise ValueError unless there is one known label for every expected file, and nothing else."""
    if missing := sorted(set(expected) - set(submission)):
        raise ValueError(f"{len(missing)} test files have no prediction, the first: {missing[:5]}")
    if extra := sorted(set(submission) - set(expected)):
        raise ValueError(f"{len(extra)} predictions belong to no test file, the first: {extra[:5]}")
    if unknown := sorted(set(submission.values()) - set(class_names)):
        raise ValueError(f"labels that are no classes of the model: {unknown}")


def write_submission(output_dir: Path, submission: dict[str, str], report: MacsReport, info: dict[str, Any]) -> None:
    """Write the three files, rows sorted by file name; all are complete before the first takes its place."""
    rows = sorted(submission.items())
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "label"])
    writer.writerows(rows)
    form = {"macs": report.macs, "submission": dict(rows)}
    write_texts(
        {
            output_dir / "submission.csv": table.getvalue(),
            output_dir / "submission.json": to_json(form, indent=1),
            output_dir / "submission_info.json": to_json(info),
        }
    )
