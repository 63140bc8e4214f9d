"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from trashlite.files import write_text


def test_text_and_odd_file_names_come_back(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    write_text(tmp_path / "new" / "list.txt", f"한글 {odd}\n")
    assert (tmp_path / "new" / "list.txt").read_bytes() == "한글 caf".encode() + b"\xe9.jpg\n"


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    write_text(path, "old")

    def full(self: Path, *args: object, **kwargs: object) -> None:
        os.close(os.open(self, os.O_CREAT | os.O_WRONLY))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["list.txt"]
    assert path.read_text() == "old"
