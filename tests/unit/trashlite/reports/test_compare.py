"""Comparisons of runs, cross-validations and submissions."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import cohen_kappa_score, f1_score

from trashlite.errors import UserError
from trashlite.reports.compare import compare, default_folder
from trashlite.reports.predictions import write_predictions
from trashlite.statistics import f1_difference

CLASSES = ["Glass", "Metal", "Paper"]
LABELS = np.random.default_rng(0).integers(0, 3, 300)
Predict = Callable[..., Path]


@pytest.fixture
def predict(tmp_path: Path) -> Predict:
    """A run's folder whose network has a share of the images right."""

    def write(
        name: str, right: float, classes: list[str] = CLASSES, first: int = 0, labels: np.ndarray = LABELS
    ) -> Path:
        rng = np.random.default_rng(len(name))
        answers = np.where(rng.random(300) < right, LABELS, rng.integers(0, 3, 300))
        order = [CLASSES.index(each) for each in classes] if {*classes} == {*CLASSES} else [0, 1, 2]
        probabilities = np.eye(3)[answers][:, order]
        files = [f"val/{number}.jpg" for number in range(first, first + 300)]
        names = [classes[order.index(label)] for label in labels]
        write_predictions(tmp_path / name / "val_predictions.csv", classes, files, names, probabilities)
        return tmp_path / name

    return write


def told(a: Path, b: Path, out: Path) -> str:
    stream = io.StringIO()
    compare(a, b, out, Console(file=stream, width=100))
    return stream.getvalue()


def test_a_clear_difference_is_told_with_its_interval(predict: Predict, tmp_path: Path) -> None:
    text = told(predict("good", 0.9), predict("poor one", 0.5), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    a, b, difference = (record["f1"]["mean"][key] for key in ("a", "b", "difference"))
    assert difference["value"] == pytest.approx(a["value"] - b["value"])
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    expected = f"A is better than B by {difference['value']:.4f} [{difference['low']:.4f}, {difference['high']:.4f}]"
    assert expected in text
    assert record["mcnemar"]["p_value"] < 1e-6
    assert f"A alone has {record['mcnemar']['only_a']} right" in text
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    assert text.count("Glass") == 1

    swapped = told(tmp_path / "poor one", tmp_path / "good", tmp_path / "swapped")
    assert "B is better than A by" in swapped


def test_nearly_equal_networks_cannot_be_told_apart(predict: Predict, tmp_path: Path) -> None:
    text = told(predict("one", 0.8), predict("another", 0.8), tmp_path / "out")
    assert "cannot be told apart" in text
    assert "better" not in text


def test_classes_in_another_order_are_the_same_classes(predict: Predict, tmp_path: Path) -> None:
    one = predict("one", 0.8)
    other = predict("two", 0.8, classes=["Paper", "Glass", "Metal"])
    told(one, other, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert record["f1"]["mean"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert list(record["f1"]) == [*CLASSES, "mean"]


def test_seeds_are_averaged(predict: Predict, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    answers = np.where(rng.random((2, 300)) < 0.7, LABELS, rng.integers(0, 3, (2, 300)))
    files = [f"val/{number}.jpg" for number in range(300)] * 2
    names = [CLASSES[label] for label in LABELS] * 2
    folder = tmp_path / "folds"
    write_predictions(folder / "out_of_fold.csv", CLASSES, files, names, np.eye(3)[answers.ravel()])
    told(folder / "out_of_fold.csv", predict("one", 0.8), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    expected = np.mean([f1_score(LABELS, each, average="macro") for each in answers])
    assert record["f1"]["mean"]["a"]["value"] == pytest.approx(expected)
    assert f1_difference(LABELS, answers, answers, 3).macro == (0, 0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first": 100}, "not of the same images: 300 and 300, 200 in both"),
        ({"classes": ["Glass", "Metal", "Wood"]}, "other classes: Paper only here, Wood only there"),
        ({"labels": (LABELS + (np.arange(300) == 7)) % 3}, "other labels for 1 images, the first: val/7.jpg"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    predict: Predict, tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        told(predict("one", 0.8), predict("two", 0.8, **settings), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_folders_without_anything_in_common_are_told(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nor submissions in common"):
        told(predict("one", 0.8), tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match="nowhere is not there"):
        told(tmp_path / "one", tmp_path / "nowhere", tmp_path / "out")


@pytest.fixture
def submissions(tmp_path: Path) -> tuple[Path, Path]:
    a, b = tmp_path / "a.csv", tmp_path / "b.json"
    a.write_text("file,label\n1.jpg,Glass\n2.jpg,Glass\n3.jpg,Metal\n4.jpg,Paper\n")
    labels = {"1.jpg": "Glass", "2.jpg": "Metal", "3.jpg": "Metal", "4.jpg": "Glass"}
    b.write_text(json.dumps({"macs": 1, "submission": labels}))
    return a, b


def test_submissions_without_labels_agree_or_not(submissions: tuple[Path, Path], tmp_path: Path) -> None:
    text = told(*submissions, tmp_path / "out")
    kappa = cohen_kappa_score(["Glass", "Glass", "Metal", "Paper"], ["Glass", "Metal", "Metal", "Glass"])
    assert f"agree on 2 of 4 files (50.0%), kappa {kappa:.3f}" in text
    record = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert record["disagreements"] == [
        {"a": "Glass", "b": "Metal", "files": 1},
        {"a": "Paper", "b": "Glass", "files": 1},
    ]
    assert (tmp_path / "out" / "agreement.png").is_file()


def test_runs_with_both_are_compared_by_both(predict: Predict, submissions: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = predict("one", 0.8), predict("two", 0.8)
    for folder in (one, two):
        (folder / "submission.csv").write_bytes(submissions[0].read_bytes())
    text = told(one, two, tmp_path / "out")
    assert "cannot be told apart" in text
    assert "agree on 4 of 4 files (100.0%), kappa 1.000" in text


def test_a_file_is_compared_with_what_a_run_has_of_its_kind(
    predict: Predict, submissions: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = predict("one", 0.8), predict("two", 0.8)
    (one / "submission.csv").write_bytes(submissions[0].read_bytes())
    (two / "submission.json").write_bytes(submissions[1].read_bytes())
    assert "agree on 4 of 4 files" in told(one, submissions[0], tmp_path / "a")
    assert "agree on 2 of 4 files" in told(submissions[0], two / "submission.json", tmp_path / "b")
    text = told(one, two / "val_predictions.csv", tmp_path / "c")
    assert "cannot be told apart" in text
    assert "agree on" not in text


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [
        ("logs/runs/1", "logs/runs/2", "1_and_2"),
        ("one/submission.csv", "other/submission.csv", "one_submission.csv_and_other_submission.csv"),
        ("1", Path("1").absolute(), "1_and_1"),
        ("s1/seed42/out", "s2/seed42/out", "s1_seed42_out_and_s2_seed42_out"),
    ],
)
def test_folders_of_comparisons_are_told_apart(a: str, b: str | Path, name: str) -> None:
    assert default_folder(Path(a), Path(b)) == Path("logs/comparisons", name)


@pytest.mark.parametrize("content", ['{"submission": [1]}', "{", "{}", "[]"])
def test_a_broken_submission_is_told_in_one_line(submissions: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    submissions[1].write_text(content)
    with pytest.raises(UserError, match=r"b\.json is no submission") as caught:
        told(*submissions, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_file_with_two_labels_is_told(submissions: tuple[Path, Path], tmp_path: Path) -> None:
    submissions[0].write_text("file,label\n1.jpg,Glass\n1.jpg,Metal\n")
    with pytest.raises(UserError, match=r"line 3: 1\.jpg is called Metal here and Glass before"):
        told(*submissions, tmp_path / "out")


def test_submissions_of_other_files_are_told(submissions: tuple[Path, Path], tmp_path: Path) -> None:
    submissions[0].write_text("file,label\n1.jpg,Glass\n9.jpg,Glass\n")
    with pytest.raises(UserError, match="not of the same files: 2 and 4, 1 in both"):
        told(*submissions, tmp_path / "out")
