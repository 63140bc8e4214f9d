"""Cross-validation: what it starts, again after a stop, and what it refuses; the runs themselves are made up."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from hydra_plugins.trashlite import crossval as program
from hydra_plugins.trashlite.crossval import crossval, default_folder
from trashlite.errors import UserError
from trashlite.reports.predictions import write_predictions
from trashlite.sweeps.folds import fold_runs


def finish(folder: Path) -> None:
    write_predictions(folder / "val_predictions.csv", ["a", "b"], ["x.jpg"], ["a"], np.array([[0.5, 0.5]]))
    (folder / "run.json").write_text(json.dumps({"state": "completed"}))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The command lines of run.py, whose runs end well at once."""
    commands: list[list[str]] = []

    def start(arguments: Sequence[str]) -> None:
        commands.append(list(arguments))
        for run in fold_runs(tmp_path / "cv", 3, 2):
            if f"seed={run.seed}" in arguments or f"resume='{run.last}'" in arguments:
                finish(run.folder)

    monkeypatch.setattr(program, "start", start)
    return commands


def test_each_seed_is_one_multirun_over_all_folds(started: list[list[str]], tmp_path: Path) -> None:
    crossval(tmp_path / "cv", 3, 2, ["experiment=trash9"])
    assert [command[:4] for command in started] == [
        ["--multirun", "experiment=trash9", f"seed={seed}", "datamodule.fold=1/3,2/3,3/3"] for seed in (42, 43)
    ]
    assert all("group=cv" in command for command in started)  # one group in W&B


def test_what_is_finished_stays_and_what_was_begun_is_resumed(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, second, _ = fold_runs(tmp_path / "cv", 3, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "start", lambda arguments: finish(first.folder))
        with pytest.raises(UserError, match=r"2 runs are not finished. The first, .*fold2of3: it left no run.json"):
            crossval(tmp_path / "cv", 3, 1, [])
    second.last.parent.mkdir(parents=True)
    second.last.touch()
    crossval(tmp_path / "cv", 3, 1, [])
    assert started[0] == [f"resume='{second.last}'"]
    assert started[1][:3] == ["--multirun", "seed=42", "datamodule.fold=3/3"]
    assert "1 of 3 runs are finished already" in capsys.readouterr().err
    crossval(tmp_path / "cv", 3, 1, [])
    assert len(started) == 2
    crossval(tmp_path / "cv", 3, 2, [])  # another seed comes on top
    assert [command[1] for command in started[2:]] == ["seed=43"]


def test_where_no_run_can_begin_the_folder_is_free_for_others(started: list[list[str]], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "start", lambda arguments: None)  # as Hydra refuses a key that is not there
        with pytest.raises(UserError, match="No run could begin"):
            crossval(tmp_path / "cv", 3, 1, ["trainer.limit_train_batches=2"])
    crossval(tmp_path / "cv", 3, 1, ["+trainer.limit_train_batches=2"])
    assert len(started) == 1


def test_settings_may_be_mended_until_a_fold_has_trained(started: list[list[str]], tmp_path: Path) -> None:
    first, *_ = fold_runs(tmp_path / "cv", 3, 1)

    def fail(arguments: Sequence[str]) -> None:
        first.folder.mkdir(parents=True, exist_ok=True)
        (first.folder / "run.json").write_text(json.dumps({"state": "failed", "error": "datamodule.root=typo"}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "start", fail)
        for overrides in (["datamodule.root=typo"], ["datamodule.root=other"]):
            with pytest.raises(UserError, match=r"The first, .*seed42_fold1of3: datamodule.root=typo"):
                crossval(tmp_path / "cv", 3, 1, overrides)
    first.last.parent.mkdir()
    first.last.touch()
    with pytest.raises(UserError, match=r"holds another cross-validation, of overrides=\['datamodule.root=other'\]"):
        crossval(tmp_path / "cv", 3, 1, ["datamodule.root=right"])


def test_another_command_leaves_the_plan_of_one_at_work_alone(started: list[list[str]], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "start", lambda arguments: crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=2"]))
        with pytest.raises(UserError, match="Another process is at work"):
            crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=1"])
    crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=1"])
    assert json.loads((tmp_path / "cv" / "crossval.json").read_text())["overrides"] == ["optimizer.lr=1"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot write to .*Choose another folder"):
        crossval(tmp_path / "file" / "logs" / "cv", 3, 1, [])


def test_a_second_process_is_told_that_one_is_at_work(started: list[list[str]], tmp_path: Path) -> None:
    with FileLock(tmp_path / ".cv.lock"), pytest.raises(UserError, match=r"Another process is at work on .*cv"):
        crossval(tmp_path / "cv", 3, 1, [])
    assert started == []
    crossval(tmp_path / "cv", 3, 1, [])
    assert len(started) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=3"], "seed: cannot be set here"),
        (["+datamodule.fold=1/2"], "datamodule.fold: cannot be set here"),
        (["backbone=lcnet_035,lcnet_050"], "backbone=lcnet_035,lcnet_050: one value, please"),
        (["backbone"], "(?s)backbone.*"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    started: list[list[str]], tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        crossval(tmp_path / "cv", 3, 1, overrides)
    assert not started
    assert not (tmp_path / "cv").exists()


def test_numbers_of_folds_that_are_none(started: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="FOLDS=2 or more"):
        crossval(tmp_path / "cv", 1, 1, [])


def test_a_folder_with_something_else_is_left_alone(started: list[list[str]], tmp_path: Path) -> None:
    crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=1"])
    with pytest.raises(UserError, match=r"holds another cross-validation, of overrides=\['optimizer.lr=1'\]"):
        crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=2"])
    with pytest.raises(UserError, match="another cross-validation, of folds=3"):
        crossval(tmp_path / "cv", 4, 1, ["optimizer.lr=1"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="holds no cross-validation"):
        crossval(tmp_path / "other", 3, 1, [])
    (tmp_path / "cv" / "crossval.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        crossval(tmp_path / "cv", 3, 1, ["optimizer.lr=1"])


def test_networks_that_may_have_seen_the_images_are_warned_of(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    crossval(tmp_path / "cv", 3, 1, ["lightning_module.teacher=best.ckpt"])
    assert "lightning_module.teacher: if that network has seen these images" in capsys.readouterr().err


def test_the_same_command_finds_its_folder() -> None:
    overrides = ["experiment=trash9", "datamodule.root=/data/my trash/", "image_size=[32,48]"]
    assert str(default_folder(overrides, 5)) == "logs/crossval/5fold_experiment=trash9_root=my_trash_image_size=_32_48_"
    assert default_folder(overrides, 5) != default_folder(overrides[:1], 5)
