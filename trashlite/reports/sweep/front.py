"""Picture of every job of a sweep by MACs and F1, with the front and the score, to choose from."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from trashlite.metrics import competition_score
from trashlite.reports.pictures import plain_text
from trashlite.reports.sweep.pictures import FRONT, OTHER, PROMOTED, PRUNED, NothingToShow, legend_above, new_figure
from trashlite.reports.sweep.records import Job
from trashlite.reports.sweep.table import SweepTable

LABELLED = 6  # jobs of the front that carry their name
BEST = "#f6c344"


def front_figure(table: SweepTable, constants: dict[str, float], data: str) -> Figure:
    """Every job on a data set by MACs and F1, the non-dominated ones joined, over the contours of the score.

    Args:
        constants: `baseline_f1`, `baseline_macs` and `floor` of the score.

    Raises:
        NothingToShow: fewer than two completed jobs have both figures, or all have the same MACs.
    """
    jobs = [job for job in table.jobs if job.data == data]
    known = [job for job in jobs if job.f1 is not None and job.macs]
    completed = [job for job in known if job.state == "completed"]
    if len(completed) < 2:
        raise NothingToShow("fewer than two completed jobs have both F1 and MACs")
    if len({job.macs for job in known}) < 2:
        raise NothingToShow("all jobs have the same MACs")
    figure = new_figure(7.2, 5.2)
    axes = figure.subplots()
    set_limits(axes, *place(known), constants["floor"])
    draw_score(axes, constants)
    front = sorted((job for job in completed if job.name in table.front), key=lambda job: place([job]))
    draw_jobs(axes, known, front, table.best_of(data))
    draw_promotions(axes, completed)
    draw_untrained(axes, [job.macs for job in jobs if job.state == "pruned" and job.f1 is None and job.macs])
    axes.set_xlabel("MACs of one image (millions)")
    axes.set_ylabel("val F1 (macro)")
    legend_above(axes, columns=4)
    best = sorted(front, key=lambda job: (job.score is None, job.score or 0))[:LABELLED]
    label_points(axes, [point_name(job) for job in best], place(best), place(known))
    return figure


def place(jobs: Sequence[Job]) -> tuple[list[Any], list[Any]]:
    """MACs and F1 of jobs that have both."""
    return [job.macs for job in jobs], [job.f1 for job in jobs]


def point_name(job: Job) -> str:
    return f"#{job.promoted_from} in full" if job.promoted_from else f"#{job.name}"


def set_limits(axes: Axes, macs: Sequence[float], f1: Sequence[float], floor: float) -> None:
    """A logarithmic axis of MACs; F1 from the worst job, or the floor where it lies near, to the best."""
    low, high = min(macs), max(macs)
    ratio = (high / low) ** 0.06
    axes.set_xscale("log")
    axes.set_xlim(low / ratio, high * ratio)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high / low >= 4 else MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    bottom, top = min(f1), max(f1)
    if top > floor - 0.2:
        bottom, top = min(bottom, floor - 0.03), max(top, floor + 0.03)
    margin = max(0.06 * (top - bottom), 0.005)
    axes.set_ylim(max(bottom - margin, -0.02), min(top + margin, 1.02))


def draw_jobs(axes: Axes, jobs: Sequence[Job], front: Sequence[Job], best: Job | None) -> None:
    completed = [job for job in jobs if job.state == "completed"]
    groups: tuple[tuple[str, list[Job], dict[str, Any]], ...] = (
        ("pruned", [job for job in jobs if job.state == "pruned"], {"marker": "x", "s": 14, "c": PRUNED, "lw": 0.8}),
        (
            "dominated",
            [job for job in completed if job not in front],
            {"s": 22, "c": OTHER, "edgecolors": "white", "lw": 0.4},
        ),
        ("front", list(front), {"s": 34, "c": FRONT, "edgecolors": "white", "lw": 0.5}),
        (
            "promoted (full training)",
            [job for job in completed if job.promoted_from],
            {"marker": "D", "s": 62, "facecolors": "none", "edgecolors": PROMOTED, "lw": 1.2},
        ),
        (
            "best",
            [job for job in completed if job is best],
            {"marker": "*", "s": 190, "c": BEST, "edgecolors": "black", "lw": 0.6},
        ),
    )
    for order, (label, group, style) in enumerate(groups):
        if group:
            axes.scatter(*place(group), label=label, zorder=4 + order, **style)
    if front:
        macs, f1 = place(front)
        # A network may cost more than it has to: the front goes on to the right.
        axes.step([*macs, axes.get_xlim()[1]], [*f1, f1[-1]], where="post", color=FRONT, lw=1.1, zorder=3)


def draw_score(axes: Axes, constants: dict[str, float]) -> None:
    """Contours of the score above the floor; below it, where every score is at least 1, the area is shaded."""
    (left, right), (bottom, top), floor = axes.get_xlim(), axes.get_ylim(), constants["floor"]
    if bottom < floor:
        edge = min(floor, top)
        axes.axhspan(bottom, edge, color="0.93", zorder=0)
        if floor < top:
            axes.axhline(floor, color="0.35", lw=1, ls=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"F1 < {floor:g}: score above 1",
            (1, edge),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-4, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7.5,
            color="0.35",
            zorder=2,
        )
    if top <= floor:
        return
    macs = np.geomspace(left, right, 160)
    f1 = np.linspace(max(floor, bottom), min(top, 1), 160)
    score = np.array([[competition_score(y, x, **constants) for x in macs] for y in f1])
    levels = MaxNLocator(14, steps=[1, 2, 5, 10]).tick_values(score.min(), score.max())
    lines = axes.contour(macs, f1, score, levels=levels, colors="0.68", linewidths=0.7, zorder=1)
    places = [label_place(axes, np.concatenate(segments)) for segments in lines.allsegs if segments]
    labels = axes.clabel(
        lines,
        fmt=lambda level: f"{level:.10g}".replace("-", "−"),
        fontsize=6.5,
        inline_spacing=3,
        manual=[place for place in places if place is not None],
    )
    for label in labels:
        label.set_color("0.5")
    axes.plot([], [], color="0.68", lw=0.7, label="score (lower is better)")


def label_place(axes: Axes, line: np.ndarray) -> tuple[float, float] | None:
    """Place of a contour's label, points (N, 2): well inside the frame, on the side that the front leaves empty."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform(line)).T
    inside = (across > 0.04) & (across < 0.96) & (up > 0.04) & (up < 0.96)
    if inside.sum() < 10:
        return None
    macs, f1 = line[inside][np.argmax((up - across)[inside])]
    return macs, f1


def draw_promotions(axes: Axes, jobs: Sequence[Job]) -> None:
    """A dotted line from the trial to the job that trained its settings in full."""
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        if origin := by_name.get(job.promoted_from):
            axes.plot(*place([origin, job]), color=PROMOTED, lw=0.8, ls=":", zorder=3)


def draw_untrained(axes: Axes, macs: Sequence[float]) -> None:
    """Ticks at the bottom for trials of which nothing is known but their MACs."""
    low, high = axes.get_xlim()
    if inside := [value for value in macs if low <= value <= high]:
        axes.plot(
            inside,
            [0] * len(inside),
            "|",
            color=PRUNED,
            ms=7,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            label="pruned before training",
            zorder=3,
        )


def label_points(
    axes: Axes, names: Sequence[str], at: tuple[list[float], list[float]], points: tuple[list[float], list[float]]
) -> None:
    """Write each name near its place `at`, where it covers neither another name nor one of `points`."""
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # places are known only after the layout
    renderer = canvas.get_renderer()
    pixels, inner = axes.transData.transform(np.transpose(points)), axes.get_window_extent(renderer)
    placed: list[Bbox] = []
    for name, x, y in zip(names, *at, strict=True):
        note = axes.annotate(
            name,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight="bold",
            zorder=12,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": "0.4", "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        )
        plain_text(note)

        def move(spot: tuple[float, float], note: Annotation = note) -> Bbox:
            radius, degrees = spot
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            note.xyann = (radius * across, radius * up)
            note.set_horizontalalignment("center" if abs(across) < 0.3 else "left" if across > 0 else "right")
            note.update_positions(renderer)
            return Text.get_window_extent(note, renderer).padded(4)  # without the line to its point

        def cost(spot: tuple[float, float]) -> float:
            box = move(spot)
            is_inside = inner.x0 < box.x0 and box.x1 < inner.x1 and inner.y0 < box.y0 and box.y1 < inner.y1
            covered = sum(box.contains(*pixel) for pixel in pixels)
            return 10 * sum(map(box.overlaps, placed)) + 20 * (not is_inside) + covered + spot[0] / 100

        placed.append(move(min(SPOTS, key=cost)))


# Distance in points and angle of a label, above and to the left first: that side of a front is empty.
SPOTS = [
    (radius, degrees)
    for radius in (10, 16, 24, 34, 46, 60, 76)
    for degrees in (90, 120, 150, 180, 60, 30, 210, 240, 270, 0, 330, 300)
]
