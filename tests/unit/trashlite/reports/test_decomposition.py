import json
from pathlib import Path

from matplotlib.patches import Rectangle

from trashlite.compression.low_rank import LayerPlan, RankPlan
from trashlite.reports.decomposition import Decomposition, Stage, decomposition_figure, plan_rows
from trashlite.reports.pictures import save_figure

DENSE, SMALL = Stage("dense", 0.8, 1000, 1100, 50), Stage("decomposed", 0.5, 600, 700, 30)
PLAN = RankPlan(
    {"stem": LayerPlan("tucker", (2, 3), 500, 200, 0.25), "head": LayerPlan("svd", (4,), 300, 200, 0.5)},
    1000,
    600,
    {"blocks.0": "too small"},
)


def test_share_is_of_the_dense_network() -> None:
    report = Decomposition({}, [DENSE, SMALL])
    assert report.rows() == [["dense", 0.8, 1000, 1.0, 1100, 50], ["decomposed", 0.5, 600, 0.6, 700, 30]]
    assert report.table().row_count == 2


def test_a_stage_measured_again_takes_the_place_of_the_former(tmp_path: Path) -> None:
    report = Decomposition({"policy": "budget"}, [DENSE, SMALL])
    report.add(Stage("fine-tuned", 0.6, 600, 700, 30))
    report.save(tmp_path)
    report = Decomposition.load(tmp_path)
    report.add(Stage("fine-tuned", 0.7, 600, 700, 30))
    assert [(stage.stage, stage.f1) for stage in report.stages] == [
        ("dense", 0.8),
        ("decomposed", 0.5),
        ("fine-tuned", 0.7),
    ]
    assert json.loads((tmp_path / "decomposition.json").read_text())["settings"] == {"policy": "budget"}


def test_the_picture_shows_every_layer(tmp_path: Path) -> None:
    figure = decomposition_figure(PLAN, "its output")
    macs, errors = figure.axes
    assert [bar.get_width() for bar in macs.patches if isinstance(bar, Rectangle)] == [500, 300, 200, 200]
    assert [bar.get_width() for bar in errors.patches if isinstance(bar, Rectangle)] == [0.25, 0.5]
    assert [label.get_text() for label in macs.get_yticklabels()] == ["stem  tucker 2 3", "head  svd 4"]
    assert save_figure(figure, tmp_path / "picture.png").stat().st_size > 1000
    assert plan_rows(PLAN)[1] == ["head", "svd", "4", 300, 200, 0.5]


def test_a_plan_without_layers_is_drawn_too(tmp_path: Path) -> None:
    figure = decomposition_figure(RankPlan({}, 1000, 1000, {"stem": "too small"}), "its output")
    assert save_figure(figure, tmp_path / "picture.png").is_file()
