"""The demo data set: the same for the same seed, laid out as the competition's, never half there."""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import demo
from datamodules.demo import MARKER, TRAIN_COUNTS, DemoDataModule, render_demo
from tests.harness import HANGS
from trashlite.data.rendering import scene, share
from trashlite.data.rendering.objects import DRAW, draw_object
from trashlite.errors import UserError

SCALE = 0.04
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_demo(tmp_path_factory.mktemp("demo") / "set", scale=SCALE)


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    assert digests(render_demo(tmp_path / "again", scale=SCALE)) == digests(small)


def test_another_seed_gives_other_pictures_of_the_same_layout(small: Path, tmp_path: Path) -> None:
    first, other = digests(small), digests(render_demo(tmp_path / "other", seed=1, scale=SCALE))
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())


def test_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    pictures = [(f"{name}.jpg", name, (0, label, 0)) for label, name in enumerate(DRAW)]
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        share.render_files(tmp_path / str(processes), 3, pictures, processes)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) == len(DRAW)


def test_failing_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        share.render_files(tmp_path / "missing", 0, [("a.jpg", "Glass", (0,)), ("b.jpg", "Glass", (1,))], 2)


def test_layout_and_imbalance() -> None:
    folders = Counter(Path(file).parent.as_posix() for file, _, _ in demo._pictures(1.0))
    assert {name: folders[f"train/{name}"] for name in TRAIN_COUNTS} == TRAIN_COUNTS
    assert list(TRAIN_COUNTS) == sorted(DRAW)
    assert max(TRAIN_COUNTS.values()) >= 5 * min(TRAIN_COUNTS.values())
    assert max(TRAIN_COUNTS.values()) <= 400
    for split in ("val", "test"):
        assert all(folders[f"{split}/{name}"] >= 12 for name in TRAIN_COUNTS)
    assert folders["test/NoLabel"] == 150
    assert len(folders) == 3 * 9 + 1


def test_files_are_those_announced(small: Path) -> None:
    found = {file for file in digests(small) if file.endswith(".jpg")}
    assert found == {file for file, _, _ in demo._pictures(SCALE)}
    assert json.loads((small / MARKER).read_text())["images"] == len(found)


def test_no_picture_occurs_twice(small: Path) -> None:
    """Unlabelled, test, val and training images are all different, so no split tells another's labels."""
    assert max(Counter(digests(small).values()).values()) == 1


def test_sizes_and_shapes_vary(small: Path) -> None:
    sizes = np.array([Image.open(path).size for path in small.rglob("*.jpg")])
    assert sizes.min() >= 40
    assert sizes.max() <= 240
    assert np.ptp(sizes) > 120
    aspects = sizes[:, 0] / sizes[:, 1]
    assert (aspects < 0.6).any()
    assert (aspects > 1.2).any()


@pytest.mark.parametrize("name", DRAW)
def test_objects_are_cut_to_their_outline(name: str) -> None:
    for seed in range(12):
        thing = draw_object(name, np.random.default_rng(seed))
        opaque = np.asarray(thing)[..., 3] > 16
        assert thing.mode == "RGBA"
        assert all(opaque[edge].any() for edge in (0, -1))
        assert all(opaque[:, edge].any() for edge in (0, -1))
        assert opaque.mean() > 0.15
        assert min(thing.size) > 20


def test_complete_set_is_not_rendered_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "render_files", lambda *_: pytest.fail("rendered again"))
    assert render_demo(small, scale=SCALE) == small


def test_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def draw_some(name: str, rng: np.random.Generator) -> Image.Image:
        done.append(name)
        if len(done) == 9:
            raise KeyboardInterrupt
        return scene.render_photograph(name, rng)

    monkeypatch.setattr(share, "render_photograph", draw_some)
    with pytest.raises(KeyboardInterrupt):
        render_demo(tmp_path / "set", scale=SCALE)
    assert [path.name for path in tmp_path.iterdir()] == [".set.lock"]


def test_full_disk_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "render_files", fill)
    with pytest.raises(UserError, match="disk is full"):
        render_demo(tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_what_somebody_puts_there_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(*_: object) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "thesis.txt").touch()

    monkeypatch.setattr(demo, "render_files", render)
    with pytest.raises(UserError, match="not a demo data set"):
        render_demo(tmp_path / "set")
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.lock"}
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["thesis.txt"]


def render_some(root: Path, in_the_middle: Any) -> None:
    """Render the set up to its eleventh picture, tell, and wait to be killed."""
    drawn = []

    def draw(name: str, rng: np.random.Generator) -> Image.Image:
        if len(drawn) == 10:
            in_the_middle.set()
            signal.pause()
        drawn.append(name)
        return scene.render_photograph(name, rng)

    share.render_photograph = draw
    render_demo(root, scale=SCALE)


def test_killed_in_the_middle_then_rendered_whole(small: Path, tmp_path: Path) -> None:
    root, in_the_middle = tmp_path / "set", CONTEXT.Event()
    child = CONTEXT.Process(target=render_some, args=(root, in_the_middle))
    child.start()
    assert in_the_middle.wait(timeout=HANGS)
    child.kill()
    child.join()
    assert list(tmp_path.glob(".set.*.tmp"))
    assert not root.exists()
    assert digests(render_demo(root, scale=SCALE)) == digests(small)
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.lock"}


def test_two_processes_at_once(small: Path, tmp_path: Path) -> None:
    children = [CONTEXT.Process(target=render_demo, args=(tmp_path / "set", 0, SCALE)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert digests(tmp_path / "set") == digests(small)
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.lock"}


def test_empty_folder_is_taken(small: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert digests(render_demo(tmp_path / "set", scale=SCALE)) == digests(small)


@pytest.mark.parametrize("marker", [None, "{", '"text"', "1"])
def test_foreign_folder_is_refused_and_untouched(tmp_path: Path, marker: str | None) -> None:
    precious = tmp_path / "set" / "train" / "Glass" / "mine.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    if marker is not None:
        (tmp_path / "set" / MARKER).write_text(marker)
    before = digests(tmp_path)
    with pytest.raises(UserError, match="not a demo data set"):
        render_demo(tmp_path / "set", scale=SCALE)
    assert digests(tmp_path) == before


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(UserError, match="not a demo data set"):
        render_demo(tmp_path / "set")
    assert (tmp_path / "set").read_text() == "mine"


def test_demo_of_another_seed_is_refused_and_untouched(small: Path) -> None:
    before = digests(small)
    with pytest.raises(UserError, match="seed 0 instead of 7"):
        render_demo(small, seed=7, scale=SCALE)
    assert digests(small) == before


def test_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 0, not -1"):
        render_demo(tmp_path / "set", seed=-1)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"datamodule\.root=PATH"):
        render_demo(tmp_path / "data" / "set")


def test_datamodule_renders_and_says_that_it_is_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(demo, "render_demo", lambda root, seed: render_demo(root, seed, SCALE))
    datamodule = DemoDataModule(root=tmp_path / "set", demo_seed=5, cache_dir=tmp_path / "cache", image_size=(8, 8))
    with caplog.at_level(logging.INFO):
        datamodule.prepare_data()
        datamodule.prepare_data()
    datamodule.setup()
    assert caplog.text.count("stand-in") == 1
    assert "datamodule=trash datamodule.root=" in caplog.text
    assert json.loads((tmp_path / "set" / MARKER).read_text())["seed"] == 5
    assert datamodule.class_names == sorted(DRAW)
    assert datamodule.class_counts == [max(2, round(count * SCALE)) for count in TRAIN_COUNTS.values()]
    assert datamodule.test_dataset is not None
    assert len(datamodule.predict_dataset) == 6
    assert datamodule.hparams["demo_seed"] == 5
