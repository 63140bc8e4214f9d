"""Report of a cross-validation whose runs are made up."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import f1_score

from trashlite.errors import UserError
from trashlite.reports.crossval import report_crossval
from trashlite.reports.predictions import read_predictions, write_predictions
from trashlite.sweeps.folds import claim, fold_runs

CLASSES = ["Glass", "Metal"]
LABELS = np.random.default_rng(0).integers(0, 2, 60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three folds with two seeds; image n is held out in fold n % 3 of the one, and n // 20 of the other."""
    claim(tmp_path / "cv", 3, 2, ["experiment=mine"])
    rng = np.random.default_rng(1)
    for place, run in enumerate(fold_runs(tmp_path / "cv", 3, 2)):
        images = np.arange(60)
        held_out = images[(images % 3 if place < 3 else images // 20) == place % 3]
        right = rng.random(len(held_out)) < 0.8
        probabilities = np.eye(2)[np.where(right, LABELS[held_out], 1 - LABELS[held_out])]
        names, labels = [f"train/{n:02d}.jpg" for n in held_out], [CLASSES[n] for n in LABELS[held_out]]
        write_predictions(run.folder / "val_predictions.csv", CLASSES, names, labels, probabilities)
        (run.folder / "run.json").write_text(json.dumps({"state": "completed", "minutes": 1.5}))
    return tmp_path / "cv"


def report(folder: Path) -> str:
    stream = io.StringIO()
    report_crossval(folder, Console(file=stream, width=100))
    return stream.getvalue()


def test_figures_of_the_runs_and_of_all_images(folder: Path) -> None:
    text = report(folder)
    result = json.loads((folder / "result.json").read_text())
    found = [read_predictions(run.folder / "val_predictions.csv") for run in fold_runs(folder, 3, 2)]
    of_runs = [f1_score(each.labels, each.predicted[0], average="macro") for each in found]
    assert [run["f1"] for run in result["runs"]] == pytest.approx(of_runs)
    assert result["f1"]["mean"] == pytest.approx(np.mean(of_runs))
    assert result["f1"]["sd"] == pytest.approx(np.std(of_runs, ddof=1))

    everything = read_predictions(folder / "out_of_fold.csv")
    assert everything.files == [f"train/{n:02d}.jpg" for n in range(60)]
    assert everything.labels.tolist() == LABELS.tolist()
    of_seeds = [f1_score(LABELS, each, average=None) for each in everything.predicted]
    assert len(of_seeds) == 2
    pooled = result["f1"]["pooled"]
    assert pooled["value"] == pytest.approx(np.mean(of_seeds))
    assert pooled["low"] < pooled["value"] < pooled["high"]
    assert [each["pooled"]["value"] for each in result["classes"].values()] == pytest.approx(np.mean(of_seeds, axis=0))
    assert [each["images"] for each in result["classes"].values()] == np.bincount(LABELS).tolist()
    assert f"{np.mean(of_runs):.4f} ± {np.std(of_runs, ddof=1):.4f}" in text
    assert f"{pooled['value']:.4f} [{pooled['low']:.4f}, {pooled['high']:.4f}]" in text
    assert all((folder / name).stat().st_size > 5_000 for name in ("folds.png", "confusion.png"))


def test_rows_tell_fold_and_seed(folder: Path) -> None:
    report(folder)
    head, first, *rest = (folder / "out_of_fold.csv").read_text().splitlines()
    assert head == "file,label,fold,seed,p_Glass,p_Metal"
    assert first.startswith(f"train/00.jpg,{CLASSES[LABELS[0]]},1/3,42,")
    assert len(rest) == 119


def test_folds_that_do_not_fit_together_are_told(folder: Path) -> None:
    runs = fold_runs(folder, 3, 2)
    (runs[0].folder / "val_predictions.csv").write_bytes((runs[1].folder / "val_predictions.csv").read_bytes())
    with pytest.raises(UserError, match="do not hold each image once"):
        report(folder)


def test_a_folder_without_a_cross_validation_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no cross-validation"):
        report(tmp_path)
