"""Pictures of a sweep: the F1/MACs front, how it came about, and what the parameters had to do with it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from callbacks.pictures import plain_text
from callbacks.sweep_parameters import FEWEST_JOBS, Parameter, Parameters
from callbacks.sweep_records import Job
from callbacks.sweep_table import SweepTable
from lightning_modules.metrics import competition_score

DPI = 200
LABELLED = 6  # jobs of the front that carry their name
MOST_PARAMETERS = 12  # in one picture
FRONT, OTHER, PRUNED, BEST, PROMOTED = "#b2182b", "#7fa6c9", "#9a9a9a", "#f6c344", "#1b7837"
COLOURS = "viridis"


class NothingToShow(ValueError):
    """A picture that would make no sense; the message says why."""


def front_figure(table: SweepTable, constants: dict[str, float]) -> Figure:
    """Every job by MACs and F1, the non-dominated ones joined, over the contours of the score.

    Args:
        constants: `baseline_f1`, `baseline_macs` and `floor` of the score.

    Raises:
        NothingToShow: fewer than two jobs have both figures, or all have the same MACs.
    """
    known = [job for job in table.jobs if job.f1 is not None and job.macs]
    completed = [job for job in known if job.state == "completed"]
    if len(completed) < 2:
        raise NothingToShow("fewer than two completed jobs have both F1 and MACs")
    if len({job.macs for job in known}) < 2:
        raise NothingToShow("all jobs have the same MACs")
    figure = new_figure(7.2, 5.2)
    axes = figure.subplots()
    set_limits(axes, known, constants["floor"])
    draw_score(axes, constants)

    front = sorted((job for job in completed if job.name in table.front), key=lambda job: (job.macs, job.f1))
    groups = (
        ("pruned", [job for job in known if job.state == "pruned"], {"marker": "x", "s": 14, "c": PRUNED, "lw": 0.8}),
        ("dominated", [job for job in completed if job.name not in table.front],
         {"s": 22, "c": OTHER, "edgecolors": "white", "lw": 0.4}),
        ("front", front, {"s": 34, "c": FRONT, "edgecolors": "white", "lw": 0.5}),
        ("promoted (full training)", [job for job in completed if job.promoted_from],
         {"marker": "D", "s": 62, "facecolors": "none", "edgecolors": PROMOTED, "lw": 1.2}),
        ("best score", [table.best] if table.best in completed else [],
         {"marker": "*", "s": 190, "c": BEST, "edgecolors": "black", "lw": 0.6}),
    )  # fmt: skip
    for order, (label, jobs, style) in enumerate(groups):
        if jobs:
            axes.scatter([job.macs for job in jobs], [job.f1 for job in jobs], label=label, zorder=3 + order, **style)
    axes.step([*(job.macs for job in front), axes.get_xlim()[1]], [*(job.f1 for job in front), front[-1].f1],
              where="post", color=FRONT, lw=1.1, zorder=3)  # fmt: skip
    draw_promotions(axes, completed)
    early = [job.macs for job in table.jobs if job.state == "pruned" and job.f1 is None and job.macs]
    low, high = axes.get_xlim()
    if early := [macs for macs in early if low <= macs <= high]:
        axes.plot(early, [0] * len(early), "|", color=PRUNED, ms=7, transform=axes.get_xaxis_transform(),
                  clip_on=False, label="pruned before training", zorder=3)  # fmt: skip
    axes.set_xlabel("MACs of one image (millions)")
    axes.set_ylabel("val F1 (macro)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=7.5, frameon=False,
                handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    figure.canvas.draw()  # places of labels are known only after a layout
    chosen = sorted(front, key=lambda job: (job.score is None, job.score or 0))[:LABELLED]
    label_points(axes, [(job.macs, job.f1, point_name(job)) for job in chosen],
                 [(job.macs, job.f1) for job in known])  # fmt: skip
    return figure


def set_limits(axes: Axes, jobs: Sequence[Job], floor: float) -> None:
    """A logarithmic axis of MACs in millions; F1 from the worst job, or the floor where it lies near, to the best."""
    macs = [job.macs for job in jobs]
    low, high = min(macs), max(macs)
    ratio = (high / low) ** 0.06
    axes.set_xscale("log")
    axes.set_xlim(low / ratio, high * ratio)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if high / low < 4:
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    f1 = [job.f1 for job in jobs]
    bottom, top = min(f1), max(f1)
    if top > floor - 0.2:
        bottom, top = min(bottom, floor - 0.03), max(top, floor + 0.03)
    margin = max(0.06 * (top - bottom), 0.005)
    axes.set_ylim(max(bottom - margin, 0) if bottom > margin else -0.02, min(top + margin, 1.02))


def draw_score(axes: Axes, constants: dict[str, float]) -> None:
    """Contours of the score above the floor; below it, where every score is at least 1, the area is shaded."""
    (left, right), (bottom, top), floor = axes.get_xlim(), axes.get_ylim(), constants["floor"]
    if bottom < floor:
        edge = min(floor, top)
        axes.axhspan(bottom, edge, color="0.93", zorder=0)
        if floor < top:
            axes.axhline(floor, color="0.35", lw=1, ls=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"F1 < {floor:g}: score above 1", (1, edge), xycoords=axes.get_yaxis_transform(), xytext=(-4, -3),
            textcoords="offset points", ha="right", va="top", fontsize=7.5, color="0.35", zorder=2,
        )  # fmt: skip
    if top <= floor:
        return
    macs = np.geomspace(left, right, 160)
    f1 = np.linspace(max(floor, bottom), min(top, 1), 160)
    score = np.array([[competition_score(y, x, **constants) for x in macs] for y in f1])
    levels = MaxNLocator(12).tick_values(score.min(), score.max())
    lines = axes.contour(macs, f1, score, levels=levels, colors="0.68", linewidths=0.7, zorder=1)
    labels = axes.clabel(lines, fmt=lambda level: f"{level:.10g}".replace("-", "−"), fontsize=6.5, inline_spacing=3)
    for label in labels:
        label.set_color("0.5")
    axes.plot([], [], color="0.68", lw=0.7, label="score (lower is better)")


def draw_promotions(axes: Axes, jobs: Sequence[Job]) -> None:
    """A thin arrow from the trial to the job that trained its settings in full."""
    by_name = {job.name: job for job in jobs}
    for job in jobs:
        if origin := by_name.get(job.promoted_from):
            axes.annotate("", (job.macs, job.f1), (origin.macs, origin.f1), zorder=3,
                          arrowprops={"arrowstyle": "-", "color": PROMOTED, "lw": 0.8, "ls": ":"})  # fmt: skip


def label_points(axes: Axes, labels: Sequence[tuple[float, float, str]], points: Sequence[tuple[float, float]]) -> None:
    """Write each label near its point, where it covers neither another label nor a point."""
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[union-attr]
    pixels, inner = axes.transData.transform(points), axes.get_window_extent(renderer)
    placed: list[Bbox] = []
    for x, y, name in labels:
        note = axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset points", va="center", fontsize=8, fontweight="bold",
            zorder=12, bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": "0.4", "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip
        plain_text(note)

        def place(radius: float, degrees: float, note: Annotation = note) -> Bbox:
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            note.xyann = (radius * across, radius * up)
            note.set_horizontalalignment("center" if abs(across) < 0.3 else "left" if across > 0 else "right")
            note.update_positions(renderer)
            return Text.get_window_extent(note, renderer).padded(4)  # without the line to its point

        def cost(spot: tuple[float, float]) -> float:
            box = place(*spot)
            is_inside = inner.x0 < box.x0 and box.x1 < inner.x1 and inner.y0 < box.y0 and box.y1 < inner.y1
            covered = sum(box.contains(*pixel) for pixel in pixels)
            return 10 * sum(map(box.overlaps, placed)) + 20 * (not is_inside) + covered + spot[0] / 100

        spots = [(radius, degrees) for radius in (10, 16, 24, 34, 46, 60, 76) for degrees in (*range(90, 271, 30), *range(60, -61, -30))]
        placed.append(place(*min(spots, key=cost)))


def point_name(job: Job) -> str:
    return f"#{job.promoted_from} in full" if job.promoted_from else f"#{job.name}"


def history_figure(table: SweepTable, jobs: Sequence[Job]) -> Figure:
    """F1 and score in the order in which the jobs were begun, with the best so far.

    Raises:
        NothingToShow: fewer than two jobs have an F1.
    """
    measured = [job for job in jobs if job.f1 is not None]
    if sum(job.state == "completed" for job in measured) < 2:
        raise NothingToShow("fewer than two completed jobs have an F1")
    has_score = sum(job.score is not None for job in measured if job.state == "completed") > 1
    figure = new_figure(7.2, 4.6 if has_score else 2.8)
    panels = np.atleast_1d(figure.subplots(2 if has_score else 1, 1, sharex=True))
    figures: list[tuple[str, Callable[[Job], float | None], Callable[..., Any]]] = [
        ("val F1", lambda job: job.f1, np.maximum),
        ("score (lower is better)", lambda job: job.score, np.minimum),
    ]
    places = {job.name: place for place, job in enumerate(jobs)}
    for axes, (label, value, better) in zip(panels, figures, strict=False):
        draw_history(axes, jobs, places, value, better)
        axes.set_ylabel(label)
    failed = [places[job.name] for job in jobs if job.state in ("failed", "unfinished")]
    if failed:
        panels[0].plot(failed, [0] * len(failed), "x", color=FRONT, ms=5, mew=1, clip_on=False, label="failed",
                       transform=panels[0].get_xaxis_transform(), zorder=5)  # fmt: skip
    panels[-1].set_xlabel("job, in the order of their numbers")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, fontsize=7.5, frameon=False,
                     handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    return figure


def draw_history(
    axes: Axes,
    jobs: Sequence[Job],
    places: dict[str, int],
    value: Callable[[Job], float | None],
    better: Callable[..., Any],
) -> None:
    """One figure of each job, and its best so far over the completed ones."""
    known = [(places[job.name], value(job), job) for job in jobs if value(job) is not None]
    completed = [(place, y) for place, y, job in known if job.state == "completed"]
    styles = (
        ("pruned", [(x, y) for x, y, job in known if job.state == "pruned"],
         {"marker": "x", "s": 14, "c": PRUNED, "lw": 0.8}),
        ("completed", completed, {"s": 20, "c": OTHER, "edgecolors": "white", "lw": 0.4}),
        ("promoted (full training)", [(x, y) for x, y, job in known if job.promoted_from],
         {"marker": "D", "s": 44, "facecolors": "none", "edgecolors": PROMOTED, "lw": 1.2}),
    )  # fmt: skip
    for label, points, style in styles:
        if points:
            axes.scatter(*zip(*points, strict=True), label=label, zorder=3, **style)
    if completed:
        x, y = zip(*completed, strict=True)
        best = better.accumulate(y)  # type: ignore[attr-defined]
        axes.step([*x, len(jobs) - 1], [*best, best[-1]], where="post", color=FRONT, lw=1.3, label="best so far", zorder=2)


def importance_figure(parameters: Parameters) -> Figure:
    """The share of each parameter in a high F1 and in few MACs.

    Raises:
        NothingToShow: nothing was varied, or too few jobs say anything.
    """
    if not parameters.parameters:
        raise NothingToShow("the jobs do not differ in a setting")
    shares = [
        (title, found)
        for title, cost in (
            ("importance for a high F1", lambda job: None if job.f1 is None else -job.f1),
            ("importance for few MACs", lambda job: job.macs),
        )
        if (found := parameters.importances(cost))
    ]
    if not shares:
        raise NothingToShow(f"fewer than {FEWEST_JOBS} completed jobs, or none differs from the others in F1 and MACs")
    names = list(shares[0][1])[:MOST_PARAMETERS]
    figure = new_figure(3.2 + 2.4 * len(shares), 1.0 + 0.27 * len(names))
    panels = np.atleast_1d(figure.subplots(1, len(shares), sharey=True))
    for axes, (title, found), colour in zip(panels, shares, (FRONT, "#4682b4"), strict=False):
        bars = axes.barh(range(len(names)), [found[name] for name in names], color=colour, height=0.65)
        axes.bar_label(bars, [f"{found[name]:.0%}" for name in names], padding=3, fontsize=7.5)
        axes.set_xlim(0, max(found[name] for name in names) * 1.18 or 1)
        axes.set_xlabel(title)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), [shorten(name, 34) for name in names])
    for label in panels[0].get_yticklabels():
        plain_text(label)
    panels[0].invert_yaxis()
    return figure


def parallel_figure(parameters: Parameters) -> Figure:
    """A line for each completed job through its parameters, F1 and MACs; its colour is its F1.

    Raises:
        NothingToShow: nothing was varied, or fewer than two completed jobs have an F1.
    """
    lines = [
        (job, values)
        for job, values in zip(parameters.jobs, parameters.chosen, strict=True)
        if job.state == "completed" and job.f1 is not None
    ]
    if len(lines) < 2:
        raise NothingToShow("fewer than two completed jobs have an F1")
    if not parameters.parameters:
        raise NothingToShow("the jobs do not differ in a setting")
    weights = parameters.importances(lambda job: None if job.f1 is None else -job.f1)
    shown = sorted(parameters.parameters, key=lambda parameter: -weights.get(parameter.name, 0))[:MOST_PARAMETERS]
    figures = [("F1", [job.f1 for job, _ in lines]), ("MACs", [job.macs for job, _ in lines])]
    columns = [[axis_place(parameter, values.get(parameter.name)) for _, values in lines] for parameter in shown]
    scales = [*map(ticks_of, shown)]
    for name, numbers in figures:
        present = sorted({value for value in numbers if value is not None})
        if len(present) > 1:
            axis = Parameter(name, present, is_number=True, is_log=name == "MACs")
            columns.append([axis_place(axis, value) for value in numbers])
            scales.append(ticks_of(axis))
            shown.append(axis)
    figure = new_figure(max(5, 1.2 + 1.05 * len(shown)), 4.6)
    axes = figure.subplots()
    f1 = np.array(figures[0][1], float)
    norm = Normalize(f1.min(), f1.max())
    absent = any(place is None for column in columns for place in column)
    for index in np.argsort(f1):  # the best lies on top
        height = [ABSENT if column[index] is None else column[index] for column in columns]
        share = norm(f1[index])
        axes.plot(range(len(height)), height, color=ScalarMappable(norm, COLOURS).to_rgba(f1[index]),
                  lw=0.7 + 0.9 * float(share), alpha=0.45 + 0.5 * float(share), zorder=2 + float(share))  # fmt: skip
    for place, ticks in enumerate(scales):
        axes.plot([place, place], [0, 1], color="0.2", lw=0.9, zorder=5)
        for height, name in ticks:
            axes.plot([place - 0.035, place], [height, height], color="0.2", lw=0.8, zorder=5)
            plain_text(
                axes.text(place - 0.06, height, shorten(name, 20), ha="right", va="center", fontsize=6.5, zorder=6,
                          bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7})
            )  # fmt: skip
    if absent:
        axes.text(-0.06, ABSENT, "not set", ha="right", va="center", fontsize=6.5, color="0.4")
        axes.axhline(ABSENT, color="0.85", lw=0.8, zorder=0)
    axes.set_xticks(range(len(shown)), [wrap_key(parameter.name) for parameter in shown], fontsize=7)
    axes.xaxis.tick_top()
    for label in axes.get_xticklabels():
        plain_text(label)
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.7, len(shown) - 0.8)
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, pad=0.02, aspect=30, fraction=0.04)
    bar.set_label("val F1", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


ABSENT = -0.09  # where a line passes the axis of a parameter that its job does not have


def axis_place(parameter: Parameter, value: Any) -> float | None:
    """The height 0..1 of a value on its axis."""
    if value is None:
        return None
    if not parameter.is_number:
        return parameter.values.index(value) / (len(parameter.values) - 1)
    scale = math.log if parameter.is_log else float
    low, high = scale(parameter.values[0]), scale(parameter.values[-1])
    return (scale(value) - low) / (high - low)


def ticks_of(parameter: Parameter) -> list[tuple[float, str]]:
    """Height and text of the ticks: every value of a few, the ends and round numbers between of many."""
    values = parameter.values
    if not parameter.is_number:
        step = math.ceil(len(values) / 14)
        chosen = values[::step]
        return [(axis_place(parameter, value) or 0.0, value) for value in chosen]
    if len(values) > 7:
        low, high = values[0], values[-1]
        between = LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,)) if parameter.is_log else MaxNLocator(5)
        values = [low, *(tick for tick in between.tick_values(low, high) if low < tick < high), high]
    ticks = [(axis_place(parameter, value) or 0.0, short_number(value)) for value in values]
    ends, inner = (ticks[0], ticks[-1]), ticks[1:-1]
    return [ends[0], *(tick for tick in inner if 0.05 < tick[0] < 0.95), ends[1]]


def short_number(value: float) -> str:
    if abs(value) >= 1e5:
        return macs_text(value)
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def macs_text(value: float) -> str:
    """`2.5M`; below a tenth of a million `50k`."""
    return f"{value / 1e6:.3g}M" if value >= 1e5 else f"{value / 1e3:.3g}k"


def shorten(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"


def wrap_key(name: str) -> str:
    """A dotted key over several lines, at most 14 characters each, its end kept."""
    lines = [shorten(part, 14) for part in name.split(".")[-3:]]
    return ".\n".join(lines)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, on a canvas that needs no display."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
