"""Draw docs/pictures/low_rank.png from the tables of docs/low_rank.md: python benchmarks/low_rank_picture.py.

One panel for each table of benchmarks/low_rank.py in the page: F1 after fine-tuning against the MACs kept, a line for
each method. The panel's title is what the paragraph above its table first sets in code.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

from matplotlib.axes import Axes

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
from trashlite.reports.pictures import new_figure  # noqa: E402

ROW = re.compile(r"^\| (\d+)% \| (.+?) \| .+? \| .+? \| ([\d.]+) \|", re.M)
FEWEST = 2  # points of a line
COLOURS = ["#999999", "#4393c3", "#e08214", "#762a83", "#8c510a", "#2166ac", "#b2182b", "#1b7837", "#4d4d4d"]


def read_tables(page: str) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Network -> method -> (share of the MACs in %, F1 after fine-tuning), the largest share first."""
    tables: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for paragraph, table in re.findall(r"\n\n((?:[^\n|][^\n]*\n)+)\n((?:\|[^\n]*\n)+)", page):
        methods = defaultdict(list)
        for share, method, f1 in ROW.findall(table):
            methods[re.sub(r"\*\*| \(.*|peer: ", "", method)].append((int(share), float(f1)))
        if methods:
            tables[paragraph.split("`")[1].removeprefix("experiment=")] = methods
    return tables


def draw(axes: Axes, network: str, methods: dict[str, list[tuple[int, float]]], colours: dict[str, str]) -> None:
    for method, points in methods.items():
        if len(points) >= FEWEST:
            style = "--" if "scratch" in method or "torch-pruning" in method else "-"
            axes.plot(
                *zip(*points, strict=True), style, marker="o", ms=3.5, lw=1.3, color=colours[method], label=method
            )
        elif points[0][0] == 100:
            axes.axhline(points[0][1], color="0.6", lw=0.9, ls=":", label=method)
    axes.set_title(network, fontsize=9)
    axes.set_xlabel("MACs kept (%)")
    axes.invert_xaxis()
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    tables = read_tables((PROJECT / "docs" / "low_rank.md").read_text(encoding="utf-8"))
    names = dict.fromkeys(method for methods in tables.values() for method in methods)
    colours = {method: COLOURS[number % len(COLOURS)] for number, method in enumerate(names)}
    figure = new_figure(3.9 * len(tables), 4.6)
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, (network, methods) in zip(panels, tables.items(), strict=True):
        draw(axes, network, methods, colours)
    panels[0].set_ylabel("val F1 after fine-tuning")
    lines = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.legend(lines.values(), lines.keys(), loc="lower center", ncols=3, fontsize=7.5, frameon=False)
    figure.savefig(PROJECT / "docs" / "pictures" / "low_rank.png", dpi=150)


if __name__ == "__main__":
    main()
