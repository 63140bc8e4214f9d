"""Images that cannot be read: set aside and told, or refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.trash import TrashDataModule
from tests.unit.datamodules.conftest import break_image, names
from trashlite.data.decode import decode
from trashlite.errors import UserError


@pytest.fixture
def broken_root(tmp_path: Path, render_root: Callable) -> Path:
    """Bad: train/a/001 (text), val/a/000 (empty), test/a/001 (truncated) and test/NoLabel/001 and /003."""
    counts = {"train/a": 4, "train/b": 3, "val/a": 2, "val/b": 2, "test/a": 2, "test/NoLabel": 5}
    root = render_root(tmp_path / "broken", counts)
    break_image(root / "train/a/001.jpg")
    break_image(root / "val/a/000.jpg", b"")
    break_image(root / "test/a/001.jpg", (root / "test/a/001.jpg").read_bytes()[:200])
    for name in ("001.jpg", "003.jpg"):
        break_image(root / "test/NoLabel" / name)
    return root


def test_skip_sets_bad_images_aside_with_one_warning_and_a_list(
    broken_root: Path, tmp_path: Path, build: Callable
) -> None:
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        datamodule = build(broken_root, "fit", report_dir=tmp_path / "report")
    told = [str(warning.message) for warning in caught if "cannot be read" in str(warning.message)]
    assert len(told) == 2
    assert told[0].startswith("3 images cannot be read and are left out")
    assert told[1].startswith("2 images cannot be read and are given the most frequent class")
    assert names(datamodule, "train").isdisjoint({"train/a/001.jpg"})
    assert datamodule.class_counts == [3, 3]
    assert [len(getattr(datamodule, f"{stage}_dataset")) for stage in ("train", "val", "test")] == [6, 3, 1]
    assert [bad.name for bad in datamodule.train_dataset.bad] == ["train/a/001.jpg"]
    assert [bad.why for bad in datamodule.val_dataset.bad] == ["the file is empty"]
    assert [bad.path.name for bad in datamodule.test_dataset.bad] == ["001.jpg"]
    lines = (tmp_path / "report/bad_images.txt").read_text().splitlines()
    assert f"{broken_root}/train/a/001.jpg: not an image in a known format" in lines
    assert f"{broken_root}/val/a/000.jpg: the file is empty" in lines
    assert any(line.startswith(f"{broken_root}/test/a/001.jpg: ") for line in lines)
    images = np.asarray(datamodule.train_dataset.images)
    assert all(image.any() for image in images)  # rows still belong to their paths
    np.testing.assert_array_equal(images[1], decode(datamodule.train_dataset.paths[1], (8, 12)))


def test_raise_names_the_first_bad_images(broken_root: Path, build: Callable) -> None:
    with pytest.raises(UserError, match=r"2 images cannot be read[\s\S]*train/a/001\.jpg[\s\S]*on_bad_image=skip"):
        build(broken_root, on_bad_image="raise")


@pytest.mark.parametrize("on_bad_image", ["skip", "raise"])
@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_no_unlabelled_file_vanishes(broken_root: Path, build: Callable, on_bad_image: str) -> None:
    datamodule = TrashDataModule(broken_root, image_size=(8, 12), cache_dir=broken_root / "cache")
    datamodule.hparams["on_bad_image"] = on_bad_image
    datamodule.setup("predict")
    dataset = datamodule.predict_dataset
    assert dataset.names == [f"{number:03d}.jpg" for number in range(5)]
    assert [bad.name for bad in dataset.bad] == ["001.jpg", "003.jpg"]
    (batch,) = datamodule.predict_dataloader()
    assert [bool(image.any()) for image in batch["image"]] == [True, False, True, False, True]


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_only_bad_images_in_train(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "root", {"train/a": 1, "val/a": 1})
    break_image(root / "train/a/000.jpg")
    with pytest.raises(UserError, match="no readable training images"):
        build(root).train_dataloader()


def test_a_val_that_cannot_be_read_is_no_reason_to_cut_train(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 4, "train/b": 4, "val/a": 1, "val/b": 1})
    for path in (root / "val").rglob("*.jpg"):
        break_image(path)
    with pytest.raises(UserError, match="None of the 2 images in"):
        build(root)
    with pytest.warns(UserWarning, match="left out"):
        assert len(build(root, split="merge").val_dataset) == 2


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_a_mended_file_is_read_again(broken_root: Path, build: Callable) -> None:
    assert build(broken_root).class_counts == [3, 3]
    shutil.copy(broken_root / "train/a/000.jpg", broken_root / "train/a/001.jpg")
    assert build(broken_root).class_counts == [4, 3]


def test_a_dropped_image_may_be_broken(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "data", {"train/Glass": 3, "train/Metal": 3, "val/Glass": 1, "val/Metal": 1})
    break_image(root / "train/Glass/000.jpg")
    (tmp_path / "relabel.csv").write_text("file,label\ntrain/Glass/000.jpg,drop\n")
    datamodule = build(root, relabel=tmp_path / "relabel.csv", on_bad_image="raise")
    assert datamodule.class_counts == [2, 3]
    assert datamodule.train_dataset.bad == []
