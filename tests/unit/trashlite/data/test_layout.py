import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.data.layout import Record, scan
from trashlite.errors import UserError

KOREAN = "유리병"
NFC, NFD = unicodedata.normalize("NFC", KOREAN), unicodedata.normalize("NFD", KOREAN)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def below(root: Path, records: list[Record]) -> list[str]:
    return [record.path.relative_to(root).as_posix() for record in records]


def test_finds_every_part_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "train/b/2.jpg", "train/b/1.jpg", "train/a/9.jpg", "val/a/1.jpg", "test/b/1.jpg")
    touch(tmp_path, "test/NoLabel/z.jpg", "test/NoLabel/sub/z.jpg")
    layout = scan(tmp_path)
    assert below(tmp_path, layout.train) == ["train/a/9.jpg", "train/b/1.jpg", "train/b/2.jpg"]
    assert [record.class_name for record in layout.train] == ["a", "b", "b"]
    assert below(tmp_path, layout.val) == ["val/a/1.jpg"]
    assert below(tmp_path, layout.test) == ["test/b/1.jpg"]
    assert below(tmp_path, layout.unlabelled) == ["test/NoLabel/sub/z.jpg", "test/NoLabel/z.jpg"]
    assert {record.class_name for record in layout.unlabelled} == {None}
    assert layout.class_names == ["a", "b"]
    assert layout.warnings == []


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "jpeg", "Png", "bmp", "gif", "webp", "tif", "TIFF"])
def test_image_suffixes_in_any_case(tmp_path: Path, suffix: str) -> None:
    assert len(scan(touch(tmp_path, f"train/a/x.{suffix}")).train) == 1


def test_names_with_spaces_and_equal_names_in_two_classes(tmp_path: Path) -> None:
    layout = scan(touch(tmp_path, "train/Plastic bag/my photo 1.jpg", "train/Glass/my photo 1.jpg"))
    assert layout.class_names == ["Glass", "Plastic bag"]
    assert [record.path.name for record in layout.train] == ["my photo 1.jpg"] * 2


def test_korean_names_in_nfc_and_nfd_are_one_class_and_keep_their_paths(tmp_path: Path) -> None:
    assert NFC != NFD
    layout = scan(touch(tmp_path, f"train/{NFC}/1.jpg", f"train/{NFD}/2.jpg", f"val/{NFD}/{NFD}.jpg"))
    assert layout.class_names == [NFC]
    assert below(tmp_path, layout.train) == [f"train/{NFC}/1.jpg", f"train/{NFD}/2.jpg"]
    assert below(tmp_path, layout.val) == [f"val/{NFD}/{NFD}.jpg"]


def test_hidden_files_and_folders_are_left_out_silently(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/a/.2.jpg", "train/a/._1.jpg", "train/a/.ipynb_checkpoints/1.jpg")
    touch(tmp_path, "train/.ipynb_checkpoints/1.jpg", "train/.DS_Store", "test/NoLabel/.ipynb_checkpoints/1.jpg")
    touch(tmp_path, "train/__MACOSX/a/1.jpg", "train/a/__MACOSX/1.jpg")
    layout = scan(tmp_path)
    assert below(tmp_path, layout.train) == ["train/a/1.jpg"]
    assert layout.class_names == ["a"]
    assert layout.unlabelled == []
    assert layout.warnings == []


def test_nested_folders_belong_to_the_topmost_class(tmp_path: Path) -> None:
    layout = scan(touch(tmp_path, "train/a/b/c/1.jpg", "train/b/1.jpg"))
    assert [record.class_name for record in layout.train] == ["a", "b"]


def test_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    assert below(tmp_path, scan(touch(tmp_path, "train/a/x.jpg/1.jpg")).train) == ["train/a/x.jpg/1.jpg"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.jpg", "root/train/a/2.jpg")
    os.symlink(tmp_path / "elsewhere", tmp_path / "root/train/b")
    for name in ("loop", "other loop"):  # of which there would be 2 to the 40 ways
        os.symlink(tmp_path / "root/train/a", tmp_path / "root/train/a" / name)
    layout = scan(tmp_path / "root")
    assert below(tmp_path / "root", layout.train) == ["train/a/2.jpg", "train/b/1.jpg"]


def test_dangling_link_is_listed_so_that_no_test_file_vanishes(tmp_path: Path) -> None:
    touch(tmp_path, "test/NoLabel/1.jpg")
    os.symlink(tmp_path / "gone.jpg", tmp_path / "test/NoLabel/2.jpg")
    assert below(tmp_path, scan(tmp_path).unlabelled) == ["test/NoLabel/1.jpg", "test/NoLabel/2.jpg"]


def test_other_files_are_told(tmp_path: Path) -> None:
    layout = scan(touch(tmp_path, "train/a/1.jpg", "train/a/2.svg", "train/3.jpg", "test/NoLabel/notes.txt"))
    (warning,) = layout.warnings
    assert "Left out 3 files" in warning
    assert "1 x .svg" in warning
    assert len(layout.train) == 1


def test_empty_class_folder_of_train_stays_a_class_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "train/Metal").mkdir(parents=True)
    layout = scan(touch(tmp_path, "train/Glass/1.jpg"))
    assert layout.class_names == ["Glass", "Metal"]
    (warning,) = layout.warnings
    assert "Metal" in warning


def test_class_that_only_val_has_is_kept_with_a_warning(tmp_path: Path) -> None:
    layout = scan(touch(tmp_path, "train/Glass/1.jpg", "val/Metal/1.jpg"))
    assert layout.class_names == ["Glass", "Metal"]
    (warning,) = layout.warnings
    assert "Metal" in warning
    assert "split=merge" in warning


def test_empty_folders_of_val_and_test_are_no_classes(tmp_path: Path) -> None:
    for folder in ("val/Metal", "test/Paper"):
        (tmp_path / folder).mkdir(parents=True)
    layout = scan(touch(tmp_path, "train/Glass/1.jpg"))
    assert (layout.class_names, layout.warnings) == (["Glass"], [])


def test_val_alone_brings_the_classes(tmp_path: Path) -> None:
    layout = scan(touch(tmp_path, "val/Glass/1.jpg"))
    assert (layout.class_names, layout.warnings) == (["Glass"], [])


def test_class_that_only_test_has_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "train/Glass/1.jpg", "test/Metal/1.jpg")
    with pytest.raises(UserError, match=r"test has classes that neither train nor val has: Metal.*Glass"):
        scan(tmp_path)


def test_given_classes_keep_their_order_and_reject_others(tmp_path: Path) -> None:
    touch(tmp_path, "train/Glass/1.jpg", "train/Metal/1.jpg")
    assert scan(tmp_path, ["Metal", "Wood", "Glass"]).class_names == ["Metal", "Wood", "Glass"]
    with pytest.raises(UserError, match=r"train has classes that the checkpoint lacks: Metal"):
        scan(tmp_path, ["Glass"])


def test_no_images_is_an_error_that_shows_the_layout(tmp_path: Path) -> None:
    (tmp_path / "train/Glass").mkdir(parents=True)
    touch(tmp_path, "train/Glass/readme.txt")
    with pytest.raises(UserError, match=r"no images[\s\S]*datamodule=demo[\s\S]*train/<Class>"):
        scan(tmp_path)


@pytest.mark.parametrize("name", ["missing", "", "file.txt"])
def test_missing_root_says_how_to_get_data(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "file.txt")
    with pytest.raises(UserError, match=r"datamodule=demo[\s\S]*datamodule.root=PATH"):
        scan(tmp_path / name if name else "")


def test_classes_that_differ_in_case_are_told(tmp_path: Path, render_root: Callable) -> None:
    root = render_root(tmp_path / "root", {"train/Metal": 1, "val/metal": 1})
    assert any("upper and lower case only: Metal, metal" in warning for warning in scan(root).warnings)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".avif"])
def test_files_of_a_phone_are_listed_as_images(tmp_path: Path, render_root: Callable, suffix: str) -> None:
    root = render_root(tmp_path / "root", {"test/NoLabel": 1})
    (root / "test/NoLabel" / f"phone{suffix}").write_bytes(b"....ftypheic")
    assert [record.path.name for record in scan(root).unlabelled] == ["000.jpg", f"phone{suffix}"]


@pytest.mark.parametrize("closed", ["train", "train/b", "train/b/deeper"])
def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/b/deeper/2.jpg")
    for name in ("scandir", "listdir"):
        look = getattr(os, name)

        def refused(path: str = ".", look: Callable = look) -> object:
            if Path(path) == tmp_path / closed:
                raise PermissionError(13, "Permission denied", str(path))
            return look(path)

        monkeypatch.setattr(os, name, refused)
    with pytest.raises(UserError, match=f"{closed}' cannot be read: Permission denied"):
        scan(tmp_path)
