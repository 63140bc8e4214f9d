"""Files that a reader never sees half of."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from trashlite.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CONF = Path(__file__).resolve().parents[1] / "conf"
"""Configuration of the program, where the library lies beside it."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Temporary path in the same folder to write to: synced and renamed to `path` at the end, removed on failure.

    What a killed process of this machine left behind is removed first.

    Raises:
        UserError: the disk is full; what was at `path` is still there.
    """
    with _place_for(path):
        temporary = _beside(path, "tmp")
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def user_error_in(error: BaseException) -> UserError | None:
    """The user's mistake that an exception is, or is the consequence of; a full disk is one."""
    if isinstance(error, OSError) and error.errno in FULL:
        return disk_full(error.filename)
    return next((each for each in (error, error.__cause__) if isinstance(each, UserError)), None)


def disk_full(path: str | Path | None) -> UserError:
    """Message for a file that found no room."""
    return UserError(
        f"The disk is full: {path or 'a file of the run'} could not be written; what was there before is still there. "
        "Free some space (or raise `ulimit -f`) and start again; training that has got so far goes on with "
        "resume=<run folder>/checkpoints/last.ckpt."
    )


def check_replaceable(folder: Path, made: Collection[str], what: str) -> None:
    """Refuse to replace a folder that holds anything else than `what` consists of.

    Args:
        made: names of the files and folders that an earlier `what` may have left there.

    Raises:
        UserError: the first thing that would be lost.
    """
    if folder.is_dir():
        others = sorted({*os.listdir(folder)} - {*made})
    else:
        others = [folder.name] if os.path.lexists(folder) else []
    if others:
        raise UserError(
            f"{str(folder)!r} is there already and is no {what}: {others[0]!r} would be lost. Choose OUT=PATH."
        )


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to write to; takes its place at the end, is removed when the writing fails.

    What a killed process of this machine left behind is removed first.

    Raises:
        UserError: the disk is full; what was at `path` is still there.
    """
    path = path.absolute()
    with _place_for(path):
        temporary, old = (_beside(path, kind) for kind in ("tmp", "old"))
        try:
            temporary.mkdir()
            yield temporary
            if path.exists():
                path.rename(old)
            temporary.rename(path)
        finally:
            for rest in (temporary, old):
                shutil.rmtree(rest, ignore_errors=True)


@contextmanager
def _place_for(path: Path) -> Iterator[None]:
    """The folder of `path`, made and tidied; a disk that fills up meanwhile is told."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; bytes of file names that are no UTF-8, which Python holds as surrogates, as they were."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several files as `write_text` does: all of them are complete before the first takes its place."""
    with ExitStack() as stack:
        for path, text in texts.items():
            temporary = stack.enter_context(replacing(path))
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def sha256(path: str | Path) -> str:
    """Hash of a file's content in hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(content: Any, indent: int = 2) -> str:
    """JSON that is valid UTF-8: bytes of file names that are not become escapes, which read back as Python's names."""
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def damaged_part(path: Path) -> str | None:
    """Name of the first part of a zip archive, such as torch writes, whose checksum is not its own any more."""
    if not is_zipfile(path):
        return None
    with ZipFile(path) as archive:
        return archive.testzip()


def _beside(path: Path, kind: str) -> Path:
    """A name for this process alone."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{kind}")


def _remove_leftovers(path: Path) -> None:
    if os.name != "posix":  # elsewhere a process cannot be asked after by its number
        return
    name = re.compile(rf"\.{re.escape(path.name)}\.{re.escape(socket.gethostname())}\.(\d+)\.(tmp|old)")
    for leftover in path.parent.iterdir():
        if (found := name.fullmatch(leftover.name)) and not _is_running(int(found[1])):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True
