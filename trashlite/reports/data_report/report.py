"""The report's folder: report.html, report.json, suspects.csv and pictures/."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trashlite.data.audit.images import Images, records_of
from trashlite.data.audit.measures import Measured, measure_files
from trashlite.data.cache import progress
from trashlite.data.commands import write_csv
from trashlite.data.layout import scan
from trashlite.data.relabel import Verdicts
from trashlite.errors import UserError
from trashlite.files import check_replaceable, replacing_folder, to_json, write_text
from trashlite.reports.data_report.analysis import analyse
from trashlite.reports.data_report.findings import findings
from trashlite.reports.data_report.page import page
from trashlite.reports.data_report.pictures import draw
from trashlite.reports.data_report.thumbnails import Cards
from trashlite.reports.pictures import save_figure
from trashlite.reports.predictions import Predictions, read_predictions

NO_PIXELS = np.zeros(0, np.uint8)
SUSPECT_COLUMNS = ("file", "given", "predicted", "margin")
FILES = ("report.html", "report.json", "suspects.csv", "pictures")


def write_report(
    root: Path, out: Path, *, network: bool = True, out_of_fold: Path | None = None, relabel: Path | None = None
) -> list[str]:
    """Write the report on the data set at `root` into the folder `out`; returns its findings.

    Args:
        network: take features by a network: needed for neighbours, the learning curve, and labels where there is no
            `out_of_fold`.
        out_of_fold: `out_of_fold.csv` of a cross-validation, which judges the labels instead.
        relabel: verdicts that count as the labels; dropped images are left out.

    Raises:
        UserError: no such data set, or files that cannot be read.
    """
    started = time.monotonic()
    _check_out(out)
    layout = scan(root)
    if relabel:
        layout, _ = Verdicts.read(relabel).apply(layout)
        kept = ([record for record in part if record.class_name] for part in (layout.train, layout.val, layout.test))
        layout = replace(layout, **dict(zip(("train", "val", "test"), kept, strict=True)))  # type: ignore[arg-type]
    predictions: Predictions | None = read_predictions(out_of_fold) if out_of_fold else None
    measured, features = _measure([record.path for record, _ in records_of(layout)], network)
    images = Images.of(layout, measured)
    result = analyse(images, features, predictions)
    result["warnings"] = layout.warnings
    sentences = findings(result)
    result["findings"] = sentences
    result["made"] = {"data": str(root), "seconds": round(time.monotonic() - started)}
    _write(out, root, result, sentences)
    return sentences


def _check_out(out: Path) -> None:
    """Refuse a folder that holds something else, or cannot be written, before minutes of work."""
    check_replaceable(out, FILES, "data report")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise UserError(f"Cannot write to {str(out.parent)!r}: {error.strerror}. Choose OUT=PATH.") from error


def _measure(paths: Sequence[Path], network: bool) -> tuple[list[Measured], np.ndarray | None]:
    """Figures of all files, and features of those that can be read."""
    take: Callable[[np.ndarray], np.ndarray] | None = None
    if network:
        from trashlite.reports.data_report.features import Features  # torch takes seconds to import

        take = Features()
    measured: list[Measured] = []
    features: list[np.ndarray] = []
    with progress(len(paths)) as bar:
        task = bar.add_task("Looking at images", total=len(paths))
        for batch in measure_files(paths):
            good = [each.pixels for each in batch if not each.why]
            if take and good:
                features.append(take(np.stack(good)))
            measured += [replace(each, pixels=NO_PIXELS) for each in batch]
            bar.advance(task, len(batch))
    return measured, np.concatenate(features) if features else None


def _write(out: Path, root: Path, result: dict[str, Any], sentences: Sequence[str]) -> None:
    with replacing_folder(out) as folder:
        pictures = {
            name: save_figure(figure, folder / "pictures" / f"{name}.png").read_bytes()
            for name, figure in draw(result).items()
        }
        suspects = result.get("labels", {}).get("suspects", [])
        write_csv(
            folder / "suspects.csv", SUSPECT_COLUMNS, [[each[key] for key in SUSPECT_COLUMNS] for each in suspects]
        )
        write_text(folder / "report.json", to_json(result))
        cards = Cards(root, result["class_names"])
        title = f"Data report: {root.resolve().name}"
        write_text(folder / "report.html", page(title, result, sentences, pictures, cards))
