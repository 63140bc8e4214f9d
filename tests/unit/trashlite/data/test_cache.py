import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import HANGS, PROJECT
from trashlite.data.cache import Cache, Rows, open_cache
from trashlite.data.decode import decode
from trashlite.errors import UserError


@pytest.fixture
def root(tmp_path: Path, render_root: Callable) -> Path:
    return render_root(tmp_path / "root", {"train/a": 5, "train/b": 4})


def images_of(root: Path) -> list[Path]:
    return sorted(root.rglob("*.jpg"))


def opened(
    root: Path, cache_dir: Path, size: tuple[int, int] = (8, 10), mode: str = "stretch", kernel: str = "bilinear"
) -> Cache:
    return open_cache("x", root, images_of(root), cache_dir, image_size=size, resize_mode=mode, kernel=kernel)


def test_holds_what_decode_gives(root: Path, tmp_path: Path) -> None:
    cache = opened(root, tmp_path / "cache")
    images = np.load(cache.file)
    assert images.shape == (9, 8, 10, 3)
    for image, path in zip(images, images_of(root), strict=True):
        np.testing.assert_array_equal(image, decode(path, (8, 10)))
    assert cache.bad == {}


def test_holds_the_pixels_of_its_kernel(root: Path, tmp_path: Path) -> None:
    images = np.load(opened(root, tmp_path / "cache", kernel="box").file)
    for image, path in zip(images, images_of(root), strict=True):
        np.testing.assert_array_equal(image, decode(path, (8, 10), kernel="box"))


def test_bad_images_are_zero_rows_with_a_reason(root: Path, tmp_path: Path) -> None:
    images_of(root)[2].write_bytes(b"no image")
    images_of(root)[7].write_bytes(b"")
    for _ in range(2):  # when built, and when read back
        cache = opened(root, tmp_path / "cache")
        assert cache.bad == {2: "not an image in a known format", 7: "the file is empty"}
    images = np.load(cache.file)
    assert [bool(image.any()) for image in images] == [position not in (2, 7) for position in range(9)]


def test_a_second_opening_builds_nothing(root: Path, tmp_path: Path) -> None:
    before = opened(root, tmp_path / "cache").file.stat()
    after = opened(root, tmp_path / "cache").file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_no_images_make_an_empty_cache(root: Path, tmp_path: Path) -> None:
    cache = open_cache("x", root, [], tmp_path / "cache", image_size=(8, 10), resize_mode="stretch")
    assert Rows(cache.file, np.arange(0)).shape == (0, 8, 10, 3)


@pytest.mark.parametrize("change", ["size", "time", "name", "removed", "image_size", "resize_mode", "kernel"])
def test_any_change_makes_another_cache(root: Path, tmp_path: Path, change: str) -> None:
    before = opened(root, tmp_path / "cache").file
    path = images_of(root)[0]
    state = path.stat()
    options: dict = {}
    match change:
        case "size":
            path.write_bytes(path.read_bytes() + b"\0")
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        case "time":
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
        case "name":
            path.rename(path.with_name("renamed.jpg"))
        case "removed":
            path.unlink()
        case "image_size":
            options = {"size": (10, 8)}
        case "resize_mode":
            options = {"mode": "letterbox"}
        case "kernel":
            options = {"kernel": "box"}
    assert opened(root, tmp_path / "cache", **options).file != before


def test_moving_the_whole_data_set_keeps_the_cache(root: Path, tmp_path: Path) -> None:
    before = opened(root, tmp_path / "cache").file
    assert opened(root.rename(tmp_path / "moved"), tmp_path / "cache").file == before


def test_no_temporary_file_stays(root: Path, tmp_path: Path) -> None:
    opened(root, tmp_path / "cache")
    suffixes = {path.suffix for path in (tmp_path / "cache").iterdir()}
    assert suffixes <= {".npy", ".json", ".lock"}


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00 cut"])
def test_damaged_cache_is_built_again(root: Path, tmp_path: Path, damage: bytes) -> None:
    cache = opened(root, tmp_path / "cache")
    good = cache.file.read_bytes()
    cache.file.write_bytes(damage)
    assert opened(root, tmp_path / "cache").file.read_bytes() == good
    cache.file.with_suffix(".json").write_text('{"bad"')
    assert opened(root, tmp_path / "cache").bad == {}


def test_folder_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"datamodule\.cache_dir=PATH"):
        opened(root, tmp_path / "file" / "cache")


def test_ready_cache_needs_no_right_to_write(root: Path, tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    file = opened(root, cache_dir).file
    before = sorted(path.name for path in cache_dir.iterdir() if path.suffix != ".lock")
    for lock in cache_dir.glob("*.lock"):
        lock.unlink()
    assert opened(root, cache_dir).file == file
    assert sorted(path.name for path in cache_dir.iterdir()) == before  # no lock taken


# Opens the cache of a root in a process of its own. Prints a line before that and one when the first image is read,
# then waits for a line; last, how many images that process decoded.
SCRIPT = """
import sys, threading
from pathlib import Path
import trashlite.data.cache as cache
root, cache_dir = map(Path, sys.argv[1:])
decode, read, first = cache.decode, [], threading.Lock()
def decode_when_told(path, **settings):
    if first.acquire(blocking=False):  # of several threads
        print("reading", flush=True)
        sys.stdin.readline()
    read.append(path)
    return decode(path, **settings)
cache.decode = decode_when_told
paths = sorted(root.rglob("*.jpg"))
print("opening", flush=True)
cache.open_cache("x", root, paths, cache_dir, image_size=(8, 10), resize_mode="stretch")
print(len(read))
"""


def start(root: Path, cache_dir: Path, until: str, **options: Any) -> subprocess.Popen:
    """A process that opens the cache and has come as far as to print `until`."""
    command = [sys.executable, "-c", SCRIPT, str(root), str(cache_dir)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, cwd=PROJECT, text=True, **pipes, **options)
    assert process.stdout is not None
    assert any(line == f"{until}\n" for line in process.stdout), process.communicate()
    return process


def test_two_processes_at_once_build_it_once(root: Path, tmp_path: Path) -> None:
    processes = [start(root, tmp_path / "cache", until) for until in ("reading", "opening")]
    results = [process.communicate("go\n", timeout=HANGS) for process in processes]
    assert [out.split()[-1:] for out, _ in results] == [["9"], ["0"]], results
    np.testing.assert_array_equal(
        np.load(opened(root, tmp_path / "cache").file), np.load(opened(root, tmp_path / "other").file)
    )


def test_killed_build_leaves_nothing_that_harms(root: Path, tmp_path: Path) -> None:
    process = start(root, tmp_path / "cache", "reading")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list((tmp_path / "cache").glob("*.tmp"))  # it was in the middle
    assert not list((tmp_path / "cache").glob("*.npy"))
    images = np.load(opened(root, tmp_path / "cache").file)
    np.testing.assert_array_equal(images[3], decode(images_of(root)[3], (8, 10)))
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_full_disk_is_told_and_leaves_no_rest(root: Path, tmp_path: Path) -> None:
    def forbid_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    process = start(root, tmp_path / "cache", "opening", preexec_fn=forbid_large_files)
    _, errors = process.communicate("go\n", timeout=HANGS)
    assert "UserError: Cannot write the image cache" in errors
    assert "datamodule.cache_dir" in errors
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_rows_are_read_only_and_lie_on_disk(root: Path, tmp_path: Path) -> None:
    rows = Rows(opened(root, tmp_path / "cache").file, np.array([4, 0, 8]))
    whole = np.load(rows.file)
    assert not rows.array.flags.writeable
    assert isinstance(rows.array.base, np.memmap)
    assert rows.shape == (3, 8, 10, 3)
    np.testing.assert_array_equal(rows[1], whole[0])
    np.testing.assert_array_equal(rows[[2, 0]], whole[[8, 4]])
    np.testing.assert_array_equal(rows[1:], whole[[0, 8]])
    np.testing.assert_array_equal(np.asarray(rows), whole[[4, 0, 8]])
    np.testing.assert_array_equal(np.stack(list(rows)), whole[[4, 0, 8]])
    rows[1][:] = 0  # a copy: the cache stays as it is
    assert whole[0].any()
    np.testing.assert_array_equal(rows[1], whole[0])


def test_rows_are_pickled_by_path(root: Path, tmp_path: Path) -> None:
    rows = Rows(opened(root, tmp_path / "cache", (64, 64)).file, np.array([4, 0]))
    data = pickle.dumps(rows)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)[0], rows[0])


@pytest.mark.parametrize("content", ["null", "[]", '{"bad": []}', '{"bad": {"x": "y"}}'])
def test_a_list_of_another_shape_is_built_again(root: Path, tmp_path: Path, content: str) -> None:
    paths = sorted(root.rglob("*.jpg"))
    first = open_cache("x", root, paths, tmp_path / "cache", image_size=(8, 8), resize_mode="stretch")
    first.file.with_suffix(".json").write_text(content)
    assert open_cache("x", root, paths, tmp_path / "cache", image_size=(8, 8), resize_mode="stretch") == first


@pytest.mark.parametrize("position", [200, -1])
def test_a_changed_byte_is_noticed_and_built_again(
    root: Path, tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = opened(root, tmp_path / "cache").file
    content = bytearray(whole := file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with caplog.at_level("WARNING"):
        opened(root, tmp_path / "cache")
    assert file.read_bytes() == whole
    assert "has changed since it was written" in caplog.text
