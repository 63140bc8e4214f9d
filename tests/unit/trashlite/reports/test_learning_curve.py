from pathlib import Path

import pytest

from trashlite.reports.learning_curve import learning_curve_figure, read_history


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that was stopped in its third epoch and resumed, then evaluated."""
    heading = "epoch,step,train/loss,train/f1,val/loss,val/f1\n"
    (tmp_path / "metrics_1.csv").write_text(
        heading + ",0,,,,\n0,9,,,2.5,0.1\n0,9,2.6,0.15,,\n1,19,,,2.2,0.4\n1,19,2.3,0.35,,\n"
    )
    (tmp_path / "metrics.csv").write_text(heading + "2,29,,,2.1,0.3\n2,29,2.0,0.5,,\n0,0,,,2.2,0.4\n")
    return tmp_path


def test_history_goes_on_over_a_resume_and_leaves_out_the_evaluation(folder: Path) -> None:
    assert read_history(folder) == {
        "train/loss": {1: 2.6, 2: 2.3, 3: 2.0},
        "val/loss": {1: 2.5, 2: 2.2, 3: 2.1},
        "train/f1": {1: 0.15, 2: 0.35, 3: 0.5},
        "val/f1": {1: 0.1, 2: 0.4, 3: 0.3},
    }


def test_the_evaluation_is_left_out_where_the_first_epoch_was_not_validated(tmp_path: Path) -> None:
    rows = ["epoch,val/f1,train/f1", "0,,0.1", "1,0.5,0.2", "2,,0.3", "3,0.7,0.4", "0,0.7,"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert read_history(tmp_path)["val/f1"] == {2: 0.5, 4: 0.7}


def test_resumes_are_read_in_their_order_and_other_files_let_be(tmp_path: Path) -> None:
    """Of an epoch that a killed run had begun, what it logged first counts."""
    for name, f1 in (("metrics_2", 0.2), ("metrics_10", 0.3), ("metrics", 0.4)):
        (tmp_path / f"{name}.csv").write_text(f"epoch,val/f1\n7,{f1}\n")
    (tmp_path / "metrics_old.csv").write_text("a copy")
    assert read_history(tmp_path)["val/f1"] == {8: 0.2}


def test_a_folder_without_figures_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path) == {name: {} for name in ("train/loss", "val/loss", "train/f1", "val/f1")}


def test_the_curves_are_drawn_and_the_best_epoch_is_marked(folder: Path) -> None:
    loss, f1 = learning_curve_figure(read_history(folder)).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.6, 2.3, 2.0], [2.5, 2.2, 2.1]]
    *_, best = f1.lines
    assert (list(best.get_xdata()), list(best.get_ydata()), best.get_label()) == ([2], [0.4], "best: 0.400, epoch 2")
