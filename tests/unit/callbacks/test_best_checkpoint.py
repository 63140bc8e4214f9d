"""The best checkpoint of a run whose folder has moved."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from callbacks.best_checkpoint import ModelCheckpoint

TRAINER = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)


def checkpoint_in(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(dirpath=folder, filename="best", monitor="val/f1", mode="max")


@pytest.fixture
def state(tmp_path: Path) -> dict:
    callback, path = checkpoint_in(tmp_path / "old"), str(tmp_path / "old" / "best.ckpt")
    callback.best_model_path = callback.kth_best_model_path = path
    callback.best_model_score = callback.kth_value = torch.tensor(0.6)
    callback.best_k_models = {path: torch.tensor(0.6)}
    return callback.state_dict()


def test_a_moved_run_keeps_its_best(state: dict, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    best = tmp_path / "new" / "best.ckpt"
    best.touch()
    callback = checkpoint_in(tmp_path / "new")
    callback.load_state_dict(state)
    assert (callback.best_model_path, callback.best_model_score) == (str(best), torch.tensor(0.6))
    assert callback.best_k_models == {str(best): torch.tensor(0.6)}
    assert not callback.check_monitor_top_k(TRAINER, torch.tensor(0.5))  # a worse epoch does not take its place


def test_where_the_best_file_is_missing_the_next_epochs_count(state: dict, tmp_path: Path) -> None:
    callback = checkpoint_in(tmp_path / "new")
    callback.load_state_dict(state)
    assert callback.best_model_path == ""
    assert callback.check_monitor_top_k(TRAINER, torch.tensor(0.5))


def test_its_state_goes_by_the_name_that_earlier_runs_used(tmp_path: Path) -> None:
    from pytorch_lightning import callbacks

    theirs = callbacks.ModelCheckpoint(dirpath=tmp_path, filename="best", monitor="val/f1", mode="max")
    assert checkpoint_in(tmp_path).state_key == theirs.state_key


@pytest.mark.parametrize("name", ["..", "folder"])
def test_folders_are_no_checkpoints_to_remove(state: dict, tmp_path: Path, name: str) -> None:
    """A stranger's checkpoint may call anything the worst of the best, which goes when a better one comes."""
    (tmp_path / "new" / "folder").mkdir(parents=True)
    (tmp_path / "new" / "best.ckpt").touch()
    callback = checkpoint_in(tmp_path / "new")
    path = str(tmp_path / "old" / name)
    callback.load_state_dict({**state, "best_k_models": {path: torch.tensor(0.1)}, "kth_best_model_path": path})
    assert callback.best_k_models == {}
    assert callback.kth_best_model_path == ""
