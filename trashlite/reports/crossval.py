"""Report of a cross-validation: out-of-fold predictions, F1 of the folds and of all images together."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sklearn.metrics import confusion_matrix, f1_score

from trashlite.errors import UserError
from trashlite.files import to_json, write_text
from trashlite.reports.pictures import confusion_matrix_figure, new_figure, plain_text, save_figure
from trashlite.reports.predictions import OUT_OF_FOLD, Predictions, read_predictions, write_predictions
from trashlite.statistics import F1, Interval, f1_intervals
from trashlite.sweeps.folds import FoldRun, fold_runs, read_settings
from trashlite.sweeps.jobs import VAL_PREDICTIONS, read_record

RESULT, PICTURE, CONFUSION = "result.json", "folds.png", "confusion.png"


@dataclass(frozen=True)
class CrossValidation:
    """Result of all runs of a cross-validation."""

    runs: list[FoldRun]
    class_names: list[str]
    class_images: list[int]
    fold_f1: NDArray[np.floating]
    """F1 of each run and class (R, C)."""
    pooled: F1
    """Of all images, each predicted by the network that has not seen it; with several seeds the mean of their F1."""

    @property
    def macro(self) -> tuple[float, float]:
        """Mean and standard deviation of the runs' macro F1."""
        return mean_and_sd(self.fold_f1.mean(axis=1))


def report_crossval(folder: Path, console: Console) -> CrossValidation:
    """Write `out_of_fold.csv`, `result.json` and the pictures of a finished cross-validation, and show its table.

    Raises:
        UserError: there is none, or its runs do not fit together.
    """
    settings = read_settings(folder)
    runs = fold_runs(folder, settings["folds"], settings["seeds"])
    found = [read_predictions(each.folder / VAL_PREDICTIONS) for each in runs]
    write_out_of_fold(folder / OUT_OF_FOLD, runs, found)
    everything = read_predictions(folder / OUT_OF_FOLD)
    result = summarise(runs, found, everything)
    write_text(folder / RESULT, to_json(as_record(result, settings)) + "\n")
    save_figure(folds_figure(result), folder / PICTURE)
    confusion = confusion_matrix(
        everything.labels, everything.mean_predicted, labels=range(len(everything.class_names))
    )
    save_figure(confusion_matrix_figure(confusion, everything.class_names, "out of fold"), folder / CONFUSION)
    console.print(folds_table(result))
    console.print(headline(result), soft_wrap=True, highlight=False, markup=False)
    for name in (OUT_OF_FOLD, RESULT, PICTURE, CONFUSION):
        console.print(str(folder / name), soft_wrap=True, highlight=False, markup=False)
    return result


def write_out_of_fold(path: Path, runs: Sequence[FoldRun], found: Sequence[Predictions]) -> None:
    """Put the predictions of all folds together, sorted by seed and file.

    Raises:
        UserError: runs have other classes, an image is held out twice for one seed, or not by all seeds.
    """
    class_names = found[0].class_names
    rows: list[tuple[int, str, str, str, NDArray[np.floating]]] = []
    for run, predictions in zip(runs, found, strict=True):
        if predictions.class_names != class_names:
            raise UserError(f"{run.folder} has other classes than {runs[0].folder}: the data have changed in between.")
        labels = [class_names[label] for label in predictions.labels]
        rows += [
            (run.seed, file, label, run.fold, row)
            for file, label, row in zip(predictions.files, labels, predictions.probabilities[0], strict=True)
        ]
    rows.sort(key=lambda row: row[:2])
    images = {seed: [file for of, file, *_ in rows if of == seed] for seed in {run.seed for run in runs}}
    for seed, files in images.items():
        if len({*files}) < len(files) or files != images[runs[0].seed]:
            raise UserError(
                f"{path.parent}: the folds of seed {seed} do not hold each image once: the data have changed."
            )
    seeds, files, labels, folds, probabilities = zip(*rows, strict=True)
    more = {"fold": folds, "seed": [str(seed) for seed in seeds]}
    write_predictions(path, class_names, files, labels, np.stack(probabilities), more)


def summarise(runs: list[FoldRun], found: Sequence[Predictions], everything: Predictions) -> CrossValidation:
    """Figures of the runs, whose predictions are `found`, and of all out-of-fold predictions together."""
    classes = range(len(everything.class_names))
    how: dict[str, Any] = {"labels": classes, "average": None, "zero_division": 0}
    fold_f1 = [f1_score(each.labels, each.predicted[0], **how) for each in found]
    return CrossValidation(
        runs=runs,
        class_names=everything.class_names,
        class_images=np.bincount(everything.labels, minlength=len(classes)).tolist(),
        fold_f1=np.array(fold_f1),
        pooled=f1_intervals(everything.labels, everything.predicted, len(classes)),
    )


def mean_and_sd(values: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample: by n - 1) of two or more values."""
    return float(values.mean()), statistics.stdev(values.tolist())


def headline(result: CrossValidation) -> str:
    mean, sd = result.macro
    return (
        f"F1 {mean:.4f} ± {sd:.4f} (mean and standard deviation of {len(result.runs)} runs); of all "
        f"{sum(result.class_images):,} images out of fold {told(result.pooled.macro)}"
    )


def told(interval: Interval) -> str:
    return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def folds_table(result: CrossValidation) -> Table:
    """Rows of classes and of all."""
    table = Table(title="Cross-validation", title_justify="left", caption_justify="left", box=None, pad_edge=False)
    for heading in ("class", "images", "F1 of runs", "F1 of all images [95 %]"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    rows = zip(result.class_names, result.class_images, result.fold_f1.T, result.pooled.classes, strict=True)
    for name, images, f1, pooled in rows:
        mean, sd = mean_and_sd(f1)
        table.add_row(escape(name), f"{images:,}", f"{mean:.4f} ± {sd:.4f}", told(pooled))
    mean, sd = result.macro
    table.add_row("mean", f"{sum(result.class_images):,}", f"{mean:.4f} ± {sd:.4f}", told(result.pooled.macro))
    return table


def as_record(result: CrossValidation, settings: dict[str, Any]) -> dict[str, Any]:
    """Plain data of all figures."""
    mean, sd = result.macro
    records = [read_record(run.folder) for run in result.runs]
    rows = zip(result.class_names, result.class_images, result.fold_f1.T, result.pooled.classes, strict=True)
    return {
        **settings,
        "images": sum(result.class_images),
        "f1": {"mean": mean, "sd": sd, "pooled": result.pooled.macro._asdict()},
        "classes": {
            name: {
                "images": images,
                **dict(zip(("mean", "sd"), mean_and_sd(f1), strict=True)),
                "pooled": pooled._asdict(),
            }
            for name, images, f1, pooled in rows
        },
        "runs": [
            {
                "folder": run.folder.name,
                "fold": run.fold,
                "seed": run.seed,
                "f1": float(f1.mean()),
                "macs": record.get("model/macs"),
                "minutes": record.get("minutes"),
            }
            for run, f1, record in zip(result.runs, result.fold_f1, records, strict=True)
        ],
    }


def folds_figure(result: CrossValidation) -> Figure:
    """F1 of each run as a dot, that of all images together with its interval, for each class and for their mean."""
    names = [f"{name} ({images:,})" for name, images in zip(result.class_names, result.class_images, strict=True)]
    dots = [*result.fold_f1.T, result.fold_f1.mean(axis=1)]
    intervals = [*result.pooled.classes, result.pooled.macro]
    figure = new_figure(7.2, 1.2 + 0.3 * len(dots))
    axes = figure.add_subplot()
    for row, (values, pooled) in enumerate(zip(dots, intervals, strict=True)):
        axes.plot([pooled.low, pooled.high], [row, row], color="#b2182b", lw=2, zorder=1)
        axes.plot(pooled.value, row, "|", color="#b2182b", ms=12, mew=2, zorder=2)
        axes.plot(values, [row] * len(values), "o", color="#2166ac", alpha=0.6, ms=4, mew=0, zorder=3)
    axes.plot([], [], "o", color="#2166ac", alpha=0.6, ms=4, label="a run, on its fold")
    axes.plot([], [], "-", color="#b2182b", lw=2, label="all images out of fold, 95 % interval")
    axes.set_yticks(range(len(dots)), [*names, "mean of classes"], fontsize=8)
    for label in axes.get_yticklabels():
        plain_text(label)
    axes.invert_yaxis()
    axes.set_xlabel("F1")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    figure.tight_layout()
    return figure
