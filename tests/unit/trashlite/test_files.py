"""Files appear whole or not at all."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import PROJECT
from trashlite.errors import UserError
from trashlite.files import replacing_folder, write_text, write_texts


def test_text_and_odd_file_names_come_back(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    write_text(tmp_path / "new" / "list.txt", f"한글 {odd}\n")
    assert (tmp_path / "new" / "list.txt").read_bytes() == "한글 caf".encode() + b"\xe9.jpg\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "list.txt"
    write_text(path, "old")

    def full(self: Path, *args: object, **kwargs: object) -> None:
        os.close(os.open(self, os.O_CREAT | os.O_WRONLY))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="disk is full"):
        write_text(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["list.txt"]
    assert path.read_text() == "old"


def test_of_several_files_none_is_replaced_unless_all_could_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write_texts({one: "old", other: "old"})
    write = Path.write_text

    def full_at_the_second(self: Path, text: str, **kwargs: Any) -> int:
        if "other" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, text, **kwargs)

    monkeypatch.setattr(Path, "write_text", full_at_the_second)
    with pytest.raises(UserError):
        write_texts({one: "new", other: "new"})
    assert (one.read_text(), other.read_text()) == ("old", "old")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_process_left_is_removed_and_a_running_one_keeps_its_file(tmp_path: Path) -> None:
    write = "from pathlib import Path; from trashlite.files import replacing; import os, signal\n"
    write += f"with replacing(Path({str(tmp_path / 'list.txt')!r})) as file:\n    file.write_text('half')\n"
    killed = subprocess.run(
        [sys.executable, "-c", f"{write}    os.kill(os.getpid(), signal.SIGKILL)"], cwd=PROJECT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    [leftover] = tmp_path.iterdir()
    of_this_process = tmp_path / leftover.name.replace(leftover.name.split(".")[-2], str(os.getppid()))
    of_this_process.touch()
    write_text(tmp_path / "list.txt", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "list.txt", of_this_process])


def test_a_file_that_a_process_of_another_user_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(process: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbid)
    theirs = tmp_path / f".list.txt.{socket.gethostname()}.1.tmp"
    theirs.touch()
    write_text(tmp_path / "list.txt", "mine")
    assert theirs.exists()


def test_a_folder_takes_its_place_when_complete_and_else_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing_folder(target) as folder:
        (folder / "a").write_text("new")
        assert not target.exists()
    with pytest.raises(FileExistsError), replacing_folder(target) as folder:
        folder.mkdir()
    assert (target / "a").read_text() == "new"
    with replacing_folder(target) as folder:
        (folder / "b").write_text("newer")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_process_leaves_the_old_folder_and_its_half_is_removed_the_next_time(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with replacing_folder(target) as folder:
        (folder / "a").write_text("old")
    write = "from pathlib import Path; from trashlite.files import replacing_folder; import os, signal\n"
    write += f"with replacing_folder(Path({str(target)!r})) as folder:\n    (folder / 'a').write_text('half')\n"
    command = [sys.executable, "-c", f"{write}    os.kill(os.getpid(), signal.SIGKILL)"]
    assert subprocess.run(command, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
    assert (target / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    with replacing_folder(target) as folder:
        (folder / "a").write_text("new")
    assert [(path.name, (path / "a").read_text()) for path in tmp_path.iterdir()] == [("out", "new")]


def test_a_full_disk_leaves_the_old_folder_and_says_so(tmp_path: Path) -> None:
    def write() -> None:
        with replacing_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []
