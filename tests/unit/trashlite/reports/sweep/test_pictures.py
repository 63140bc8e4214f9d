from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.sweep_folder import write_job, write_sweep
from trashlite.metrics import competition_score
from trashlite.reports.pictures import save_figure
from trashlite.reports.sweep.front import front_figure
from trashlite.reports.sweep.parallel import ABSENT, axis_place, parallel_figure, short_number, ticks_of
from trashlite.reports.sweep.parameters import Parameter, Parameters
from trashlite.reports.sweep.pictures import NothingToShow, history_figure, importance_figure
from trashlite.reports.sweep.records import Job, read_jobs
from trashlite.reports.sweep.table import SweepTable

CONSTANTS = {"baseline_f1": 0.8342, "baseline_macs": 13_863_553, "floor": 0.5}


def job(name: str, f1: float | None, macs: float | None, state: str = "completed", **more: object) -> Job:
    score = None if f1 is None or macs is None else competition_score(f1, macs)
    return Job(name, Path(name), state, f1=f1, macs=macs, score=score, **more)  # type: ignore[arg-type]


def table_of(*jobs: Job) -> SweepTable:
    return SweepTable.of(Path("sweep"), list(jobs))


def series(figure: Figure, panel: int = 0) -> dict[str, list[tuple[float, float]]]:
    """The points that are drawn, by their label in the legend."""
    return {
        str(each.get_label()): [tuple(point) for point in np.asarray(each.get_offsets())]
        for each in figure.axes[panel].collections
        if not str(each.get_label()).startswith("_")
    }


JOBS = (
    job("0", 0.6, 1e6),
    job("1", 0.55, 2e6),
    job("2", 0.8, 4e6),
    job("3", 0.3, 3e6, "pruned"),
    job("4", None, 9e6, "pruned"),
    job("5", None, None, "failed"),
    job("6", 0.82, 4e6, promoted_from="2"),
)


def test_the_front_shows_every_job_and_names_the_best() -> None:
    figure = front_figure(table_of(*JOBS), CONSTANTS, "")
    [axes] = figure.axes
    drawn = series(figure)
    assert drawn["front"] == [(1e6, 0.6), (4e6, 0.82)]
    assert drawn["dominated"] == [(4e6, 0.8), (2e6, 0.55)]
    assert drawn["pruned"] == [(3e6, 0.3)]
    assert drawn["promoted (full training)"] == [(4e6, 0.82)]
    best = min((each for each in JOBS if each.state == "completed"), key=lambda each: each.score or 9)
    assert drawn["best"] == [(best.macs, best.f1)]
    assert axes.get_xscale() == "log"
    words = [text.get_text() for text in axes.texts]
    assert {"#0", "#2 in full", "F1 < 0.5: score above 1"} <= set(words)


def test_contours_are_those_of_the_score() -> None:
    figure = front_figure(table_of(*JOBS), CONSTANTS, "")
    contours = next(each for each in figure.axes[0].collections if hasattr(each, "levels"))
    for level, segments in zip(contours.levels, contours.allsegs, strict=True):
        for macs, f1 in np.concatenate(segments) if segments else ():
            assert competition_score(f1, macs) == pytest.approx(level, abs=0.02)
            assert f1 >= 0.5


def test_a_front_below_the_floor_has_no_contours(tmp_path: Path) -> None:
    figure = front_figure(table_of(job("0", 0.1, 1e6), job("1", 0.12, 1.2e6)), CONSTANTS, "")
    assert figure.axes[0].get_ylim()[1] < 0.2
    assert not any(hasattr(each, "levels") for each in figure.axes[0].collections)
    assert save_figure(figure, tmp_path / "front.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ([], "fewer than two"),
        ([job("0", 0.5, 1e6), job("1", None, 2e6), job("2", 0.5, 2e6, "pruned")], "fewer than two"),
        ([job("0", 0.5, 1e6), job("1", 0.6, 1e6)], "same MACs"),
    ],
)
def test_a_front_that_makes_no_sense_is_refused(jobs: list[Job], reason: str) -> None:
    with pytest.raises(NothingToShow, match=reason):
        front_figure(table_of(*jobs), CONSTANTS, "")


def test_labels_of_crowded_jobs_do_not_overlap() -> None:
    figure = front_figure(
        table_of(*(job(f"{n}00", 0.7 + n / 1000, 1e6 * (1 + n / 200)) for n in range(6))), CONSTANTS, ""
    )
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    labels = [text for text in figure.axes[0].texts if text.get_text().startswith("#")]
    boxes = [super(type(label), label).get_window_extent(renderer) for label in labels]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])
    frame = figure.axes[0].get_window_extent(renderer)
    assert all(frame.x0 < box.x0 and box.x1 < frame.x1 and box.y1 < frame.y1 for box in boxes)


def test_history_keeps_the_order_and_the_best_so_far() -> None:
    figure = history_figure(JOBS)
    f1, score = figure.axes
    assert series(figure)["completed"] == [(0, 0.6), (1, 0.55), (2, 0.8)]  # a promoted job is no trial
    [best] = [line for line in f1.lines if line.get_label() == "best so far"]
    assert list(best.get_ydata()) == [0.6, 0.6, 0.8, 0.8]
    [failed] = [line for line in f1.lines if line.get_label() == "failed or unfinished"]
    assert list(failed.get_xdata()) == [5]
    [best] = [line for line in score.lines if line.get_label() == "best so far"]
    assert list(best.get_ydata()) == sorted(best.get_ydata(), reverse=True)
    assert len(history_figure([replace(each, score=None) for each in JOBS]).axes) == 1
    with pytest.raises(NothingToShow):
        history_figure([JOBS[0], JOBS[3]])


def test_importances_and_parallel_coordinates_of_a_sweep(tmp_path: Path) -> None:
    parameters = Parameters.of(read_jobs(write_sweep(tmp_path)), None)
    figure = importance_figure(parameters)
    f1, macs = figure.axes
    assert {label.get_text() for label in f1.get_yticklabels()} == {"optimizer.lr", "backbone", "backbone.kwargs.width"}
    assert sum(bar.get_width() for bar in macs.patches) == pytest.approx(1)  # type: ignore[attr-defined]
    figure = parallel_figure(parameters)
    heights = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 5]
    assert len(heights) == 12
    assert min(map(min, heights)) == ABSENT  # not every job has a width
    assert max(map(max, heights)) == 1
    assert save_figure(figure, tmp_path / "parallel.png").stat().st_size > 1000


def test_nothing_varied_nothing_shown(tmp_path: Path) -> None:
    for number in range(5):
        write_job(tmp_path / str(number), "a=1", f1=0.5 + number / 100)
    parameters = Parameters.of(read_jobs(tmp_path), None)
    for draw in (importance_figure, parallel_figure):
        with pytest.raises(NothingToShow, match="do not differ"):
            draw(parameters)
    with pytest.raises(NothingToShow, match="fewer than"):
        importance_figure(Parameters.of(read_jobs(write_sweep(tmp_path / "few", 3)), None))


def test_places_and_ticks_of_an_axis() -> None:
    log = Parameter("lr", [1e-4, 1e-3, 1e-2], is_number=True, is_log=True)
    assert [axis_place(log, value) for value in (1e-4, 1e-3, 1e-2, None)] == [0, pytest.approx(0.5), 1, None]
    words = Parameter("kind", ["a", "b", "c"], is_number=False)
    assert ticks_of(words) == [(0, "a"), (0.5, "b"), (1, "c")]
    many = Parameter("f1", [0.1 + index / 100 for index in range(30)], is_number=True)
    ticks = ticks_of(many)
    assert [ticks[0], ticks[-1]] == [(0, "0.1"), (1, "0.39")]
    assert 3 <= len(ticks) <= 9
    assert [short_number(value) for value in (0, 1e-5, 2.5e-4, 0.125, 8, 2048, 2_288_864)] == [
        "0",
        "1e-5",
        "2.5e-4",
        "0.125",
        "8",
        "2048",
        "2.29M",
    ]
