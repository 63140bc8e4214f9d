"""Comparison of two classifiers on the same labelled images: the difference of F1 with its interval, table, picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trashlite.errors import UserError
from trashlite.files import to_json, write_text
from trashlite.reports.pictures import new_figure, plain_text, save_figure
from trashlite.reports.predictions import Predictions
from trashlite.statistics import F1, Interval, McNemar, f1_difference, f1_intervals, mcnemar

RECORD, PICTURE = "comparison.json", "comparison.png"


@dataclass(frozen=True)
class Comparison:
    """Comparison of A and B; differences are A less B, with paired bootstrap intervals of 95 %."""

    name_a: str
    name_b: str
    class_names: list[str]
    class_images: list[int]
    a: F1
    b: F1
    difference: F1
    mcnemar: McNemar
    """Of the predictions; of several seeds, of their mean probabilities."""

    def verdict(self) -> str:
        """One sentence: who is better by how much, or that nobody can tell."""
        macro = self.difference.macro
        if macro.low <= 0 <= macro.high:
            return (
                f"A and B cannot be told apart: F1 of A less B is {macro.value:+.4f} "
                f"[{macro.low:+.4f}, {macro.high:+.4f}]."
            )
        better, worse, sign = ("A", "B", 1) if macro.value > 0 else ("B", "A", -1)
        low, high = sorted((sign * macro.low, sign * macro.high))
        return f"{better} is better than {worse} by {sign * macro.value:.4f} [{low:.4f}, {high:.4f}] of F1."

    def tested(self) -> str:
        """McNemar's test in words."""
        only_a, only_b, p_value = self.mcnemar
        return (
            f"Of {sum(self.class_images):,} images A alone has {only_a:,} right, B alone {only_b:,}; "
            f"p = {p_value:.2g} (exact McNemar test)."
        )


def compare_predictions(a: Predictions, b: Predictions, name_a: str, name_b: str) -> Comparison:
    """Compare the predictions of two networks, or of two cross-validations, for the same images.

    Raises:
        UserError: they have other images, classes or labels.
    """
    b = same_images(a, b, name_a, name_b)
    classes = len(a.class_names)
    return Comparison(
        name_a,
        name_b,
        a.class_names,
        np.bincount(a.labels, minlength=classes).tolist(),
        f1_intervals(a.labels, a.predicted, classes),
        f1_intervals(a.labels, b.predicted, classes),
        f1_difference(a.labels, a.predicted, b.predicted, classes),
        mcnemar(a.labels, a.mean_predicted, b.mean_predicted),
    )


def same_images(a: Predictions, b: Predictions, name_a: str, name_b: str) -> Predictions:
    """`b` with its classes in the order of `a`; raises UserError unless both are of the same images and labels."""
    if {*a.class_names} != {*b.class_names}:
        only = [", ".join(sorted({*x.class_names} - {*y.class_names})) or "nothing" for x, y in ((a, b), (b, a))]
        raise UserError(f"{name_a} and {name_b} have other classes: {only[0]} only here, {only[1]} only there.")
    if a.files != b.files:
        both = len({*a.files} & {*b.files})
        raise UserError(
            f"{name_a} and {name_b} are not of the same images: {len(a.files):,} and {len(b.files):,}, {both:,} in "
            "both. Compare runs that validate on the same part: equal datamodule.split, fold, val_ratio and seed."
        )
    order = [b.class_names.index(name) for name in a.class_names]
    b = Predictions(a.class_names, b.files, np.argsort(order)[b.labels], b.probabilities[:, :, order])
    if len(differing := np.flatnonzero(a.labels != b.labels)):
        first = differing[0]
        labels = [each.class_names[each.labels[first]] for each in (a, b)]
        raise UserError(
            f"{name_a} and {name_b} have other labels for {len(differing):,} images, the first: {a.files[first]} is "
            f"{labels[0]} and {labels[1]}."
        )
    return b


def show_comparison(comparison: Comparison, folder: Path, console: Console) -> None:
    """Write `comparison.json` and `comparison.png` into a folder, and print the table."""
    write_text(folder / RECORD, to_json(as_record(comparison)) + "\n")
    save_figure(comparison_figure(comparison), folder / PICTURE)
    for letter, name in (("A", comparison.name_a), ("B", comparison.name_b)):
        console.print(f"{letter}: {name}", soft_wrap=True, highlight=False, markup=False)
    console.print(comparison_table(comparison))
    for line in (comparison.verdict(), comparison.tested(), str(folder / RECORD), str(folder / PICTURE)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def comparison_table(comparison: Comparison) -> Table:
    """Rows of classes and of their mean."""
    table = Table(box=None, pad_edge=False)
    for heading in ("class", "images", "F1 of A", "F1 of B", "A less B [95 %]"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    for name, images, a, b, difference in rows(comparison):
        told = f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
        table.add_row(escape(name), f"{images:,}", f"{a.value:.4f}", f"{b.value:.4f}", told)
    return table


def rows(comparison: Comparison) -> list[tuple[str, int, Interval, Interval, Interval]]:
    """Name, images, F1 of A and of B, their difference: of each class, and last of their mean."""
    f1 = (comparison.a, comparison.b, comparison.difference)
    names, images = [*comparison.class_names, "mean"], [*comparison.class_images, sum(comparison.class_images)]
    return list(zip(names, images, *([*each.classes, each.macro] for each in f1), strict=True))


def as_record(comparison: Comparison) -> dict[str, Any]:
    """Plain data."""
    return {
        "a": comparison.name_a,
        "b": comparison.name_b,
        "verdict": comparison.verdict(),
        "mcnemar": comparison.mcnemar._asdict(),
        "f1": {
            name: {"images": images, "a": a._asdict(), "b": b._asdict(), "difference": difference._asdict()}
            for name, images, a, b, difference in rows(comparison)
        },
    }


def comparison_figure(comparison: Comparison) -> Figure:
    """Difference of F1 with its interval for each class and for their mean, about a line at nothing."""
    lines = rows(comparison)
    figure = new_figure(7.2, 1.3 + 0.3 * len(lines))
    axes = figure.add_subplot()
    axes.axvline(0, color="#9a9a9a", lw=1, zorder=0)
    for row, (*_, difference) in enumerate(lines):
        last = row == len(lines) - 1
        sure = not difference.low <= 0 <= difference.high
        colour = ("#1b7837" if difference.value > 0 else "#b2182b") if sure else "#555555"
        axes.plot([difference.low, difference.high], [row, row], color=colour, lw=3 if last else 1.5)
        axes.plot(difference.value, row, "o", color=colour, ms=7 if last else 5)
    axes.set_yticks(range(len(lines)), [f"{name} ({images:,})" for name, images, *_ in lines], fontsize=8)
    for label in axes.get_yticklabels():
        plain_text(label)
    axes.invert_yaxis()
    axes.set_xlabel("F1 of A less F1 of B, with paired bootstrap interval of 95 %", fontsize=8)
    names = (Path(name).absolute().name for name in (comparison.name_a, comparison.name_b))
    plain_text(axes.set_title("A: {}   B: {}\n{}".format(*names, comparison.verdict()), fontsize=9))
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure
