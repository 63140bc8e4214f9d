"""Learning curve of a run, from its metrics.csv."""

import csv
import itertools
from pathlib import Path

from matplotlib.figure import Figure

from trashlite.reports.pictures import new_figure

FIGURES = ("train/loss", "val/loss", "train/f1", "val/f1")
COLOURS = {"train": "#7fa6c9", "val": "#b2182b"}
History = dict[str, dict[int, float]]  # figure -> epoch, from 1 -> value


def read_history(folder: Path) -> History:
    """Figures of every epoch that a run and those it resumed logged into its folder."""
    history: History = {name: {} for name in FIGURES}
    # Files from before a resume are numbered in the order they were set aside.
    numbers = {path.stem.removeprefix("metrics_"): path for path in folder.glob("metrics_*.csv")}
    earlier = sorted((name for name in numbers if name.isdecimal()), key=int)
    for path in [*map(numbers.__getitem__, earlier), folder / "metrics.csv"]:
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get("epoch")]
            latest = itertools.accumulate((int(row["epoch"]) for row in rows), max)
            for row, last in zip(rows, latest, strict=True):
                for name in FIGURES:
                    # The best checkpoint is evaluated after the last epoch, and logged as epoch 0.
                    if row.get(name) and int(row["epoch"]) == last:
                        history[name].setdefault(last + 1, float(row[name]))
    return history


def learning_curve_figure(history: History) -> Figure:
    """Loss and F1 over the epochs, in training and validation; the best epoch is marked."""
    figure = new_figure(8.0, 3.2)
    for axes, kind, title in zip(figure.subplots(1, 2), ("loss", "f1"), ("loss", "macro F1"), strict=True):
        for stage, colour in COLOURS.items():
            points = sorted(history[f"{stage}/{kind}"].items())
            axes.plot([epoch for epoch, _ in points], [value for _, value in points], color=colour, label=stage, lw=1.5)
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if validated := history["val/f1"]:
        best = max(validated, key=lambda epoch: validated[epoch])
        label = f"best: {validated[best]:.3f}, epoch {best}"
        axes.plot(best, validated[best], "o", color=COLOURS["val"], label=label)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.tight_layout()
    return figure
