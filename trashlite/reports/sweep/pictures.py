"""Pictures of a sweep: how its results came about, and what the parameters had to do with them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from trashlite.reports.pictures import plain_text
from trashlite.reports.sweep.parameters import FEWEST_JOBS, Parameters
from trashlite.reports.sweep.records import Job

DPI = 200
MOST_PARAMETERS = 12  # in one picture
FRONT, OTHER, PRUNED, PROMOTED = "#b2182b", "#7fa6c9", "#9a9a9a", "#1b7837"


class NothingToShow(ValueError):  # noqa: N818
    """A picture would make no sense; the message says why."""


def history_figure(jobs: Sequence[Job]) -> Figure:
    """F1 and score of `jobs`, in the order in which they were begun, with the best so far.

    Raises:
        NothingToShow: fewer than two completed jobs have an F1.
    """
    jobs = [job for job in jobs if not job.promoted_from]  # trained for longer, they would flatten the rest
    completed = [job for job in jobs if job.state == "completed"]
    if sum(job.f1 is not None for job in completed) < 2:
        raise NothingToShow("fewer than two completed jobs have an F1")
    has_score = sum(job.score is not None for job in completed) > 1
    figure = new_figure(7.2, 4.6 if has_score else 2.8)
    panels = figure.subplots(2 if has_score else 1, 1, sharex=True, squeeze=False)[:, 0]
    draw_history(panels[0], jobs, [job.f1 for job in jobs], np.maximum)
    panels[0].set_ylabel("val F1")
    if has_score:
        draw_history(panels[1], jobs, [job.score for job in jobs], np.minimum)
        panels[1].set_ylabel("score (lower is better)")
    failed = [place for place, job in enumerate(jobs) if job.state in ("failed", "unfinished")]
    if failed:
        panels[0].plot(
            failed,
            [0] * len(failed),
            "x",
            color=FRONT,
            ms=5,
            mew=1,
            clip_on=False,
            zorder=5,
            label="failed or unfinished",
            transform=panels[0].get_xaxis_transform(),
        )
    panels[-1].set_xlabel("job, in the order of their numbers")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    legend_above(panels[0], columns=5)
    return figure


def draw_history(axes: Axes, jobs: Sequence[Job], values: Sequence[float | None], better: np.ufunc) -> None:
    """One figure of each job, and the best so far of the completed ones."""
    known = [
        (place, value, job) for place, (value, job) in enumerate(zip(values, jobs, strict=True)) if value is not None
    ]
    completed = [(place, value) for place, value, job in known if job.state == "completed"]
    groups: tuple[tuple[str, list[tuple[int, float]], dict[str, Any]], ...] = (
        (
            "pruned",
            [(place, value) for place, value, job in known if job.state == "pruned"],
            {"marker": "x", "s": 14, "c": PRUNED, "lw": 0.8},
        ),
        ("completed", completed, {"s": 20, "c": OTHER, "edgecolors": "white", "lw": 0.4}),
    )
    for label, points, style in groups:
        if points:
            axes.scatter(*zip(*points, strict=True), label=label, zorder=3, **style)
    x, y = zip(*completed, strict=True)
    best = better.accumulate(y)
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
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
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


def shorten(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, on a canvas that needs no display."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_above(axes: Axes, columns: int) -> None:
    """The legend in one small line above the axes, where it hides no point."""
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=columns,
        fontsize=7.5,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
    )
