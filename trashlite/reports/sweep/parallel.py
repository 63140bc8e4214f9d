"""Parallel coordinates: a line for each job of a sweep, through its parameters to its figures."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from trashlite.reports.pictures import plain_text
from trashlite.reports.sweep.parameters import Parameter, Parameters
from trashlite.reports.sweep.pictures import NothingToShow, new_figure, shorten

COLOURS = "viridis"
MOST_AXES = 6  # of parameters, by importance: more cannot be read
ABSENT = -0.09  # where a line passes the axis of a parameter that its job does not have


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
    shown = sorted(parameters.parameters, key=lambda parameter: -weights.get(parameter.name, 0))[:MOST_AXES]
    columns = [[axis_place(parameter, values.get(parameter.name)) for _, values in lines] for parameter in shown]
    for name, figures in (("F1", [job.f1 for job, _ in lines]), ("MACs", [job.macs for job, _ in lines])):
        present = sorted({value for value in figures if value is not None})
        if len(present) > 1:
            shown.append(Parameter(name, present, is_number=True, is_log=name == "MACs"))
            columns.append([axis_place(shown[-1], value) for value in figures])
    figure = new_figure(max(5, 1.2 + 1.05 * len(shown)), 4.6)
    axes = figure.subplots()
    f1 = np.array([job.f1 for job, _ in lines], float)
    norm = Normalize(f1.min(), f1.max())
    colours = ScalarMappable(norm, COLOURS)
    for line in np.argsort(f1, kind="stable"):  # the best lies on top
        heights = [ABSENT if column[line] is None else column[line] for column in columns]
        weight = float(norm(f1[line]))
        axes.plot(
            range(len(heights)),
            heights,
            color=colours.to_rgba(f1[line]),
            lw=0.7 + 0.9 * weight,
            alpha=0.45 + 0.5 * weight,
            zorder=2 + weight,
        )
    for place, parameter in enumerate(shown):
        draw_axis(axes, place, ticks_of(parameter))
    if any(height is None for column in columns for height in column):
        axes.text(-0.06, ABSENT, "not set", ha="right", va="bottom", fontsize=6.5, color="0.4")
        axes.axhline(ABSENT, color="0.85", lw=0.8, zorder=0)
    axes.set_xticks(range(len(shown)), [wrap_key(parameter.name) for parameter in shown], fontsize=7)
    axes.xaxis.tick_top()
    for label in axes.get_xticklabels():
        plain_text(label)
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.7, len(shown) - 0.8)
    bar = figure.colorbar(colours, ax=axes, pad=0.02, aspect=30, fraction=0.04)
    bar.set_label("val F1", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return figure


def draw_axis(axes: Axes, place: int, ticks: list[tuple[float, str]]) -> None:
    axes.plot([place, place], [0, 1], color="0.2", lw=0.9, zorder=5)
    for height, name in ticks:
        axes.plot([place - 0.035, place], [height, height], color="0.2", lw=0.8, zorder=5)
        plain_text(
            axes.text(
                place - 0.06,
                height,
                shorten(name, 20),
                ha="right",
                va="center",
                fontsize=6.5,
                zorder=6,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
            )
        )


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


def wrap_key(name: str) -> str:
    """A dotted key over several lines, at most 14 characters each, its end kept."""
    lines = [shorten(part, 14) for part in name.split(".")[-3:]]
    return ".\n".join(lines)
