"""Draw docs/pictures/front.png, F1 against MACs of the recipes and their rivals: python benchmarks/front.py.

Recipes are the folders of results/trash9 with a run.json: MACs and validation F1 come from there, F1 on the held-out
images from held_out.json. rivals.json lists networks that others made or trained; each says which images its F1 is of.
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
from trashlite.reports.pictures import new_figure  # noqa: E402

OURS, OTHERS = "#b2182b", "0.45"
MARKERS = {"held out": "o", "val": "D", "other": "s"}
SIDES: dict[str, dict[str, Any]] = {
    "left": {"xytext": (-7, -3), "ha": "right"},
    "right": {"xytext": (7, -3), "ha": "left"},
    "below": {"xytext": (0, -7), "ha": "center", "va": "top"},
}
LEGEND = {"held out": "held-out images", "val": "validation images", "other": "another test set"}


def draw(folder: Path, out: Path) -> None:
    held_out: dict[str, float] = _read(folder / "held_out.json")
    recipes = [_read(record) | {"name": record.parent.name} for record in folder.glob("*/run.json")]
    figure = new_figure(7.6, 4.6)
    axes = figure.add_axes((0.09, 0.12, 0.89, 0.80))
    axes.set_xscale("log")
    front = sorted((recipe["model/macs"], held_out.get(recipe["name"], recipe.get("val/f1"))) for recipe in recipes)
    front = [(macs, f1) for number, (macs, f1) in enumerate(front) if all(f1 > less for _, less in front[:number])]
    axes.plot(*zip(*front, strict=True), color=OURS, lw=1.4, zorder=3)
    for recipe in recipes:
        draw_recipe(axes, recipe, held_out.get(recipe["name"]))
    for rival in _read(folder / "rivals.json"):
        point = rival["macs"], rival["f1"]
        axes.scatter(*point, s=36, marker=MARKERS[rival["of"]], facecolors="none", edgecolors=OTHERS, lw=1.2, zorder=4)
        note(axes, rival["name"], point, **SIDES[rival["side"]], color=OTHERS)
    for of, marker in MARKERS.items():
        axes.scatter([], [], s=30, marker=marker, facecolors="none", edgecolors="0.3", lw=1.2, label=LEGEND[of])
    axes.annotate(
        "better",
        (0.035, 0.95),
        (0.12, 0.85),
        xycoords="axes fraction",
        fontsize=9,
        color="0.3",
        ha="center",
        va="center",
        arrowprops={"arrowstyle": "->", "color": "0.3"},
    )
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.12e6), max(high, 20e6))
    axes.set_ylim(0.5, 0.9)
    axes.set_xticks([0.25e6, 0.5e6, 1e6, 2e6, 5e6, 10e6])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda macs, _: f"{macs / 1e6:g} M"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("multiply-accumulates (MACs) of one image")
    axes.set_title("macro F1, nine classes of trash", loc="left", fontsize=10)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    figure.savefig(out, dpi=160)


def draw_recipe(axes: Axes, recipe: dict[str, Any], held_out: float | None) -> None:
    """Figures of a recipe, val's (none with split=all) with its 95 % interval, and its name at the higher one."""
    macs, val = recipe["model/macs"], recipe.get("val/f1")
    if val is not None:
        axes.plot(
            [macs, macs],
            [recipe["test/interval_low"], recipe["test/interval_high"]],
            color=OURS,
            lw=1,
            alpha=0.5,
            zorder=2,
        )
        axes.scatter(macs, val, s=28, marker=MARKERS["val"], facecolors="white", edgecolors=OURS, lw=1.2, zorder=4)
    if held_out is not None:
        axes.scatter(macs, held_out, s=44, color=OURS, zorder=5)
    note(axes, recipe["name"], (macs, max(val or 0, held_out or 0)), (-5, 5), ha="right", color=OURS, weight="bold")


def note(axes: Axes, text: str, point: tuple[float, float], xytext: tuple[int, int], **font: Any) -> None:
    axes.annotate(text, point, xytext, textcoords="offset points", fontsize=8, **font)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    draw(PROJECT / "results" / "trash9", PROJECT / "docs" / "pictures" / "front.png")
