"""Checkpoint files: whole, or not there."""

import os
from pathlib import Path

import pytest
import torch

from lightning_modules.checkpoint.file import RunCheckpointIO
from trashlite.errors import UserError


def test_a_checkpoint_holds_the_configuration_and_comes_back(tmp_path: Path) -> None:
    files = RunCheckpointIO({"seed": 1})
    files.save_checkpoint({"state_dict": {"a": torch.ones(2)}}, tmp_path / "new" / "last.ckpt")
    found = files.load_checkpoint(tmp_path / "new" / "last.ckpt")
    assert found["config"] == {"seed": 1}
    assert found["state_dict"]["a"].tolist() == [1, 1]


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = RunCheckpointIO({}), tmp_path / "last.ckpt"
    files.save_checkpoint({"epoch": 1}, path)

    def half(self: Path, content: memoryview) -> None:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match=r"disk is full: .*last\.ckpt"):
        files.save_checkpoint({"epoch": 2}, path)
    assert os.listdir(tmp_path) == ["last.ckpt"]
    assert files.load_checkpoint(path)["epoch"] == 1


def test_it_is_written_beside_its_place_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename is atomic within one file system only, and only of what has reached the disk."""
    steps: list[tuple[str, Path]] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: steps.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
    )
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (steps.append(("rename", self)), replace(self, to))[1])
    RunCheckpointIO({}).save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert [step for step, _ in steps] == ["sync", "rename"]
    assert {path.parent for _, path in steps} == {tmp_path}


def test_a_pickle_that_is_more_than_plain_data_is_not_opened(tmp_path: Path) -> None:
    class Stranger:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"x": Stranger()}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match="weights_only"):
        RunCheckpointIO({}).load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    assert not (tmp_path / "ran").exists()
