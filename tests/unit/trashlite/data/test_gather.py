import errno
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.data.gather import gather, main
from trashlite.data.layout import scan
from trashlite.errors import UserError


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    return folder


def found(root: Path) -> set[str]:
    layout = scan(root)
    records = [*layout.train, *layout.val, *layout.test, *layout.unlabelled]
    return {record.path.relative_to(root).as_posix() for record in records}


def test_class_folders(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", ["Glass/a.jpg", "Glass/deep/a.jpg", "Metal/b.png", "Metal/notes.txt", "stray.jpg"])
    result = gather(source, tmp_path / "out")
    assert found(tmp_path / "out") == {"train/Glass/a.jpg", "train/Glass/a_2.jpg", "train/Metal/b.png"}
    contents = {(tmp_path / "out/train/Glass" / name).read_bytes() for name in ("a.jpg", "a_2.jpg")}
    assert contents == {b"Glass/a.jpg", b"Glass/deep/a.jpg"}
    assert result["left_out"] == {"no image (.txt)": 1, "outside a class folder": 1}
    assert result["objects"] == 5


def test_hidden_folders_stay_and_links_are_followed(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", ["Glass/a.jpg", "Glass/.checkpoints/a.jpg", "Metal/b.jpg"])
    (source / "Metal/more").symlink_to(fill(tmp_path / "elsewhere", ["c.jpg"]))
    (source / "Metal/lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    result = gather(source, tmp_path / "out")
    assert found(tmp_path / "out") == {"train/Glass/a.jpg", "train/Metal/b.jpg", "train/Metal/c.jpg"}
    assert result["left_out"] == {"a link to nothing": 1}


def test_what_macos_packs_beside_the_images_is_no_class(tmp_path: Path) -> None:
    names = ["Battery_1.jpg", "Glass_1.jpg", "__MACOSX/._Glass_1.jpg", ".DS_Store"]
    result = gather(fill(tmp_path / "flat", names), tmp_path / "out")
    assert (result["images"], result["left_out"]) == ({"Battery": {"train": 1}, "Glass": {"train": 1}}, {})
    names = ["train/Glass/1.jpg", "train/__MACOSX/x.jpg", "__MACOSX/x.jpg", "train/.DS_Store"]
    result = gather(fill(tmp_path / "parts", names), tmp_path / "out2")
    assert (result["images"], result["left_out"]) == ({"Glass": {"train": 1}}, {})
    (tmp_path / "flat/labels.csv").write_text("file,label\nGlass_1.jpg,__MACOSX\n")
    with pytest.raises(UserError, match="cannot be called '__MACOSX'"):
        gather(tmp_path / "flat/labels.csv", tmp_path / "out3")


def test_a_name_that_is_taken_gets_the_next_number(tmp_path: Path) -> None:
    names = ["Glass/image.jpg", "Glass/image_2.jpg", *(f"Glass/{number}/image.jpg" for number in range(3))]
    result = gather(fill(tmp_path / "in", names), tmp_path / "out")
    assert result["images"] == {"Glass": {"train": 5}}
    assert len({path.read_bytes() for path in (tmp_path / "out/train/Glass").iterdir()}) == 5


def test_paths_may_be_relative_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "in", ["a.jpg", "b.jpg"])
    (source / "labels.csv").write_text(f"file,label\n{source / 'a.jpg'},Glass\nb.jpg,Metal\n")
    monkeypatch.chdir(tmp_path)
    first = gather(Path("in/labels.csv"), Path("out"))
    assert found(tmp_path / "out") == {"train/Glass/a.jpg", "train/Metal/b.jpg"}
    assert gather(source / "labels.csv", Path("out")) == first  # nothing is done


def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", [os.fsdecode(b"Verre_caf\xe9/a.jpg")])
    with pytest.raises(UserError, match="in UTF-8"):
        gather(source, tmp_path / "out")
    (tmp_path / "data").mkdir()
    source.rename(tmp_path / "data/train")
    with pytest.raises(UserError, match="is no UTF-8: rename the folder"):
        scan(tmp_path / "data")


def test_parts_keep_their_names(tmp_path: Path) -> None:
    names = ["train/Glass/a.jpg", "valid/Glass/b.jpg", "test/Glass/c.jpg", "test/NoLabel/d.jpg", "extra/Glass/e.jpg"]
    gather(fill(tmp_path / "in", names), tmp_path / "out")
    expected = {"train/Glass/a.jpg", "val/Glass/b.jpg", "test/Glass/c.jpg", "test/NoLabel/d.jpg"}
    assert found(tmp_path / "out") == expected


def test_prefixes_and_links(tmp_path: Path) -> None:
    names = ["Battery_001.jpg", "Battery-2.png", "Paper pack (3).jpg", "IMG.jpg"]
    result = gather(fill(tmp_path / "in", names), tmp_path / "out", link=True)
    assert found(tmp_path / "out") == {
        "train/Battery/Battery_001.jpg",
        "train/Battery/Battery-2.png",
        "train/Paper pack/Paper pack (3).jpg",
    }
    assert os.path.samefile(tmp_path / "out/train/Battery/Battery-2.png", tmp_path / "in/Battery-2.png")
    assert result["left_out"] == {"no class before a number in its name": 1}


def test_csv(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"])
    fill(tmp_path, ["secret.jpg"])
    lines = ["a.jpg,Glass,", "b.jpg,Metal,val", "c.jpg,,val", "d.jpg,Glass,moon", "a.jpg,Glass,", "x.jpg,Glass,"]
    lines += ["e.jpg,Glass,", "e.jpg,Metal,"]
    table = source / "labels.csv"
    table.write_text("\n".join(["file,label,part", *lines, "../secret.jpg,Glass,"]))
    result = gather(table, tmp_path / "out")
    assert found(tmp_path / "out") == {"train/Glass/a.jpg", "val/Metal/b.jpg", "test/NoLabel/c.jpg"}
    assert sum(result["left_out"].values()) == 6
    assert result["left_out"]["listed with several labels"] == 2
    table.write_text("name,label\n")
    with pytest.raises(UserError, match="file,label"):
        gather(table, tmp_path / "out2")


def test_a_csv_counts_no_file_that_training_would_not_see(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", ["a.jpg", "notes.txt", "none", ".hidden.jpg"])
    rows = "".join(f"{name},Glass\n" for name in ("a.jpg", "notes.txt", "none", ".hidden.jpg"))
    (source / "labels.csv").write_text("file,label\n" + rows)
    result = gather(source / "labels.csv", tmp_path / "out")
    assert result["images"] == {"Glass": {"train": len(found(tmp_path / "out"))}} == {"Glass": {"train": 1}}
    assert result["left_out"] == {"no image (.txt)": 1, "no image (no suffix)": 1, "a hidden file": 1}


@pytest.mark.parametrize("name", ["sub/../a.jpg", "link.jpg", "./sub/../a.jpg"])
def test_one_image_by_two_paths_has_one_label(tmp_path: Path, name: str) -> None:
    source = fill(tmp_path / "in", ["a.jpg", "b.jpg", "sub/c.jpg"])
    (source / "link.jpg").symlink_to(source / "a.jpg")
    table = source / "labels.csv"
    table.write_text(f"file,label\na.jpg,Glass\nb.jpg,Glass\n{name},Metal\n")
    assert gather(table, tmp_path / "out")["left_out"] == {"listed with several labels": 2}
    table.write_text(f"file,label\na.jpg,Glass\nb.jpg,Glass\n{name},Glass\n")
    assert gather(table, tmp_path / "out2")["left_out"] == {"listed twice": 1}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_csv_of_another_program_names_the_files(tmp_path: Path, form: str) -> None:
    disk, listed = (unicodedata.normalize(each, "유리é.jpg") for each in (form, "NFD" if form == "NFC" else "NFC"))
    source = fill(tmp_path / "in", [disk, "sub/b.jpg", "c\\d.jpg"])
    (source / "labels.csv").write_text(f"file,label\n{listed},Glass\nsub\\b.jpg ,Glass\nc\\d.jpg,Glass\n")
    assert gather(source / "labels.csv", tmp_path / "out")["images"] == {"Glass": {"train": 3}}


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300 + ".jpg", "", "."])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    source = fill(tmp_path / "in", ["a.jpg"])
    (source / "labels.csv").write_text(f"file,label\na.jpg,Glass\n{name},Glass\n")
    assert gather(source / "labels.csv", tmp_path / "out")["left_out"] == {"no such file": 1}


def test_a_share_goes_to_val(tmp_path: Path, render_root: Callable) -> None:
    names = [f"{name}/{number}.jpg" for name in ("Glass", "Metal") for number in range(20)]
    result = gather(fill(tmp_path / "in", names), tmp_path / "out", val=0.2)
    assert result["images"] == {"Glass": {"train": 16, "val": 4}, "Metal": {"train": 16, "val": 4}}


@pytest.mark.parametrize("share", [0.1, 0.3, 0.4, 0.6, 0.75, 0.9])
def test_any_share_goes_to_val(tmp_path: Path, share: float) -> None:
    names = [f"{name}/{number}.jpg" for name in ("Glass", "Metal") for number in range(100)]
    result = gather(fill(tmp_path / "in", names), tmp_path / "out", val=share)
    for parts in result["images"].values():
        assert parts["val"] == round(100 * share)


@pytest.mark.parametrize(("images", "share"), [(2, 0.9), (3, 0.75), (4, 0.9), (6, 0.9), (100, 0.99)])
def test_a_large_share_leaves_some_to_train_on(tmp_path: Path, images: int, share: float) -> None:
    result = gather(
        fill(tmp_path / "in", [f"Glass/{number}.jpg" for number in range(images)]), tmp_path / "out", val=share
    )
    assert result["images"]["Glass"]["train"] >= 1


def test_a_folder_of_an_earlier_version_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = fill(tmp_path / "in", ["Glass/a.jpg", "Metal/b.jpg"])
    main([str(source), str(tmp_path / "out")])
    [marker] = (tmp_path / "out").glob("*.json")
    marker.write_text(marker.read_text().replace('"images": {\n   "Glass"', '"crops": {\n   "Glass"'))
    assert '"crops"' in marker.read_text()
    capsys.readouterr()
    main([str(source), str(tmp_path / "out")])
    assert "2 images" in capsys.readouterr().out


def test_nothing_to_gather(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        gather(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        gather(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match="columns file,label"):
        gather(Path("/dev/null"), tmp_path / "out")
    fill(tmp_path / "odd", ["IMG.jpg", "notes.txt"])
    with pytest.raises(UserError, match=r"left out 1: no class before a number in its name\n"):
        gather(tmp_path / "odd", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "in", ["Glass/a.jpg"])

    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)  # whoever may do anything, such as root, is never refused
    with pytest.raises(UserError, match="cannot be read: Permission denied"):
        gather(source, tmp_path / "out")


def test_unlabelled_images_need_no_split(tmp_path: Path) -> None:
    result = gather(fill(tmp_path / "in", ["NoLabel/a.jpg"]), tmp_path / "out", val=0.5)
    assert result["images"] == {"NoLabel": {"test": 1}}


@pytest.mark.parametrize("content", [b"file,label\na.jpg,\xc5\xff", b"PK\x03\x04\x00\xff", b"\x00\x00"])
def test_a_file_that_is_no_table_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"archive\.zip") as caught:
        gather(tmp_path / "archive.zip", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_links_to_nothing_are_counted(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", ["Glass/a.jpg"])
    (source / "Glass" / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    result = gather(source, tmp_path / "out")
    assert result["left_out"] == {"a link to nothing": 1}
    assert result["objects"] == 2
