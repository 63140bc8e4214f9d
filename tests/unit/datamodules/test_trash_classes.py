"""Classes of a data set of folders: names, order, folders without images, verdicts on labels."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.datamodules.conftest import break_image, names
from trashlite.errors import UserError


def test_class_names_of_a_checkpoint_fix_the_order(tiny_root: Path, build: Callable) -> None:
    order = ["Plastic bag", "Wood", "Metal", "Glass"]
    datamodule = build(tiny_root, class_names=order)
    assert datamodule.class_names == order
    assert datamodule.class_counts == [4, 0, 8, 12]
    assert set(datamodule.train_dataset.targets) == {0, 2, 3}
    with pytest.raises(UserError, match="the checkpoint lacks: Plastic bag"):
        build(tiny_root, class_names=["Glass", "Metal"])


def test_classes_without_images_and_classes_of_val_alone(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 2, "train/c": 0, "val/b": 2})
    (root / "train/c").mkdir()
    with pytest.warns(UserWarning, match="class") as caught:
        datamodule = build(root)
    assert datamodule.class_names == ["a", "b", "c"]
    assert datamodule.class_counts == [2, 0, 0]
    told = [str(warning.message) for warning in caught if "class" in str(warning.message)]
    assert len(told) == 3
    assert told[-1] == ("val has no image of a, c: an absent class has an F1 of 0, so that macro F1 is 0.33 at most.")


def test_a_class_that_reading_and_splitting_leave_empty_is_told(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(
        tmp_path / "root", {"train/a": 3, "train/b": 3, "train/c": 2, "val/a": 2, "val/b": 2, "test/a": 1}
    )
    for image in (root / "train/c").iterdir():
        break_image(image)
    with pytest.warns(UserWarning, match="image") as caught:
        build(root)
    told = {str(warning.message).partition(":")[0] for warning in caught}
    assert {"No image of c is left to train on", "val has no image of c", "test has no image of b, c"} <= told


def test_korean_and_spaced_names_through_the_whole_way(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    nfc, nfd = (unicodedata.normalize(form, "유리병") for form in ("NFC", "NFD"))
    root = render_root(tmp_path / "루트", {"train/Plastic bag": 2, "val/Plastic bag": 1})
    for folder in (f"train/{nfc}", f"train/{nfd}", f"val/{nfd}", "test/NoLabel"):
        (root / folder).mkdir(parents=True)
        shutil.copy(root / "train/Plastic bag/000.jpg", root / folder / f"{nfd} 1.jpg")
    datamodule = build(root)
    assert datamodule.class_names == ["Plastic bag", nfc]
    assert datamodule.class_counts == [2, 2]
    assert datamodule.predict_dataset.names == [f"{nfd} 1.jpg"]  # as on disk: the submission names files


def test_equal_names_below_nolabel_keep_apart(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "root", {"train/a": 2, "test/NoLabel": 1})
    (root / "test/NoLabel/more").mkdir()
    shutil.copy(root / "train/a/000.jpg", root / "test/NoLabel/more/000.jpg")
    assert build(root).predict_dataset.names == ["000.jpg", "more/000.jpg"]


def test_relabelled_images_change_class_and_dropped_ones_are_in_no_part(
    tiny_root: Path, build: Callable, tmp_path: Path
) -> None:
    before = build(tiny_root)
    rows = [
        "train/Glass/000.jpg,Metal",
        "train/Glass/001.jpg,drop",
        "val/Metal/002.jpg,drop",
        "test/Glass/000.jpg,drop",
    ]
    (tmp_path / "relabel.csv").write_text("\n".join(["file,label", *rows]))
    datamodule = build(tiny_root, relabel=tmp_path / "relabel.csv")
    assert names(datamodule, "train") == names(before, "train") - {"train/Glass/001.jpg"}
    assert names(datamodule, "val", "test") == names(before, "val", "test") - {
        "val/Metal/002.jpg",
        "test/Glass/000.jpg",
    }
    assert datamodule.class_counts == [10, 9, 4]
    position = datamodule.train_dataset.names.index("train/Glass/000.jpg")
    assert datamodule.train_dataset.targets[position] == 1
    assert datamodule.relabelled["dropped"] == 3
    assert datamodule.train_dataset.images.file == before.train_dataset.images.file  # decoded once
