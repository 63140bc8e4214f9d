"""Charts of the report, from its figures."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trashlite.reports.pictures import confusion_matrix_figure, new_figure, plain_text

INK, SOFT, ALARM = "#2c6fad", "#a9c4de", "#c0392b"
PARTS = {"train": INK, "val": "#e69138", "test": "#6aa84f"}
WIDTH = 7.5  # inches
KNOWN = {"border": "border alone", "size": "size and shape alone", "both": "border, size and shape"}


def draw(result: dict[str, Any]) -> dict[str, Figure]:
    """Charts by the name of their file, of those sections that there are."""
    charts: dict[str, tuple[str, Callable[[dict[str, Any]], Figure]]] = {
        "counts": ("counts", counts_figure),
        "sizes": ("sizes", sizes_figure),
        "light": ("light", light_figure),
        "properties": ("properties", properties_figure),
        "shortcuts": ("shortcuts", shortcuts_figure),
        "neighbours": ("neighbours", neighbours_figure),
        "confusion": ("labels", confusion_figure),
        "learning": ("learning", learning_figure),
    }
    if not result["class_names"]:
        return {}
    if not _shown_properties(result):
        del charts["properties"]
    return {name: draw_one(result) for name, (section, draw_one) in charts.items() if result.get(section)}


def counts_figure(result: dict[str, Any]) -> Figure:
    """Stacked bars of the files of each class, by part."""
    classes = result["counts"]["classes"]
    figure, axes = _bars(classes)
    start = np.zeros(len(classes))
    for part, colour in PARTS.items():
        of_part = np.array([counts[part] for counts in classes.values()])
        if of_part.any():
            axes.barh(range(len(classes)), of_part, left=start, color=colour, label=f"{part} ({of_part.sum():,})")
            start += of_part
    for last in axes.containers[-1:]:
        axes.bar_label(last, [f"{total:,.0f}" for total in start], padding=3, fontsize=8)  # type: ignore[arg-type]
    axes.set_xlabel("files")
    axes.margins(x=0.12)
    axes.legend(frameon=False)
    return figure


def sizes_figure(result: dict[str, Any]) -> Figure:
    """Widths and heights of each class: median, and where nine in ten lie."""
    return _ranges(result["sizes"], {"width": "width (pixels)", "height": "height (pixels)"}, log=True)


def light_figure(result: dict[str, Any]) -> Figure:
    """Brightness, contrast and sharpness of each class: median, and where nine in ten lie."""
    labels = {"brightness": "brightness (0 to 255)", "contrast": "contrast (0 to 255)", "sharpness": "sharpness"}
    return _ranges(result["light"], labels)


def properties_figure(result: dict[str, Any]) -> Figure:
    """Share of each class that has a property, for properties that any image has."""
    names, rows = result["class_names"], _shown_properties(result)
    figure = new_figure(max(WIDTH, 2.6 + 0.5 * len(names)), 1.2 + 0.36 * len(rows))
    axes = figure.add_subplot()
    shares = np.array(list(rows.values()))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), list(rows))
    for label in axes.get_xticklabels():
        plain_text(label)
    for row, column in np.ndindex(*shares.shape):
        dark = shares[row, column] > 0.5
        axes.text(
            column,
            row,
            f"{shares[row, column]:.0%}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )
    figure.set_layout_engine("constrained")
    return figure


def shortcuts_figure(result: dict[str, Any]) -> Figure:
    """Balanced accuracy by what should not tell the class, against chance, and the recall of each class."""
    told = result["shortcuts"]
    figure = new_figure(WIDTH, 1.4 + 0.26 * (len(told["classes"]) + 1))
    axes = figure.add_subplot()
    rows = ["all classes (mean)", *told["classes"]]
    for offset, (key, colour) in enumerate(zip(KNOWN, (INK, "#e69138", SOFT), strict=True)):
        shares = [told[key]["balanced_accuracy"], *told[key]["recalls"]]
        axes.barh(np.arange(len(rows)) + (offset - 1) * 0.27, shares, 0.27, color=colour, label=KNOWN[key])
    chance = told["border"]["chance_accuracy"]
    axes.axvline(chance, color=ALARM, ls="--", lw=1, label=f"chance ({chance:.0%})")
    _name_rows(axes, rows)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the class told by the figures alone (recall)")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    figure.set_layout_engine("constrained")
    return figure


def neighbours_figure(result: dict[str, Any]) -> Figure:
    """Similarity of the nearest training image: of images of val, and of train itself."""
    found = result["neighbours"]["histogram"]
    figure = new_figure(WIDTH, 2.8)
    axes = figure.add_subplot()
    edges = np.array(found["edges"])
    for key, colour, label in (
        ("train_to_train", SOFT, "train to the rest of train"),
        ("val_to_train", INK, "val to train"),
    ):
        heights = np.array(found[key], float)
        axes.stairs(heights / max(heights.sum(), 1), edges, color=colour, lw=1.8, label=label)
    seen = edges[:-1][np.array(found["val_to_train"]) + np.array(found["train_to_train"]) > 0]
    axes.set_xlim(seen.min() - 0.05, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("similarity of the nearest training image (cosine of features)")
    axes.set_ylabel("images")
    axes.legend(frameon=False)
    figure.set_layout_engine("constrained")
    return figure


def confusion_figure(result: dict[str, Any]) -> Figure:
    """Confusion matrix of the out-of-fold predictions."""
    return confusion_matrix_figure(np.array(result["labels"]["confusion"]), result["class_names"], "Out of fold")


def learning_figure(result: dict[str, Any]) -> Figure:
    """F1 by the images trained on; and what half of a class' images are worth to its F1."""
    found = result["learning"]
    classes = found["classes"]
    figure = new_figure(WIDTH, max(3.0, 1.0 + 0.26 * len(classes)))
    curve, worth = figure.subplots(1, 2, width_ratios=(1, 1))
    images = [point["images"] for point in found["curve"]]
    for at in range(len(classes)):
        curve.plot(images, [point["f1"][at] for point in found["curve"]], color=SOFT, lw=0.9)
    curve.plot(images, [point["macro_f1"] for point in found["curve"]], "o-", color=INK, label="macro F1")
    curve.plot([], [], color=SOFT, label="each class")
    curve.set_xscale("log", base=2)
    curve.set_xticks(images, [f"{count:,.0f}" for count in images])
    curve.minorticks_off()
    curve.set(xlabel="images trained on", title="F1 of held-out images")
    curve.grid(alpha=0.3)
    curve.legend(frameon=False)
    worth.barh(range(len(classes)), [100 * found["values"][name]["own"] for name in classes], color=INK)
    _name_rows(worth, classes)
    worth.axvline(0, color="black", lw=0.6)
    worth.set(xlabel="points of its own F1", title="lost with half of a class' images")
    figure.set_layout_engine("constrained")
    return figure


def _shown_properties(result: dict[str, Any]) -> dict[str, list[float]]:
    return {name: each["shares"] for name, each in result.get("properties", {}).items() if any(each["shares"])}


def _bars(rows: Any) -> tuple[Figure, Axes]:
    figure = new_figure(WIDTH, 1.2 + 0.28 * max(2, len(rows)))
    axes = figure.add_subplot()
    _name_rows(axes, list(rows))
    figure.set_layout_engine("constrained")
    return figure, axes


def _ranges(by_class: dict[str, dict[str, list[float]]], labels: dict[str, str], log: bool = False) -> Figure:
    figure = new_figure(WIDTH, 1.2 + 0.26 * max(2, len(by_class)))
    panels = np.atleast_1d(figure.subplots(1, len(labels), sharey=True))
    places = np.arange(len(by_class))
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        low, middle, high = np.array([figures[name] for figures in by_class.values()]).T
        axes.hlines(places, low, high, color=SOFT, lw=6)
        axes.plot(middle, places, "o", color=INK, ms=5)
        axes.set_xlabel(label)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if log:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
    _name_rows(panels[0], list(by_class))
    figure.set_layout_engine("constrained")
    return figure


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for label in axes.get_yticklabels():
        plain_text(label)
    axes.spines[["top", "right"]].set_visible(False)
