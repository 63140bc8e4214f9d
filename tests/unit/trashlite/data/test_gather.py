import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.data.gather import gather
from trashlite.data.layout import scan
from trashlite.errors import UserError


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
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
    lines = ["a.jpg,Glass,", "b.jpg,Metal,val", "c.jpg,,", "d.jpg,Glass,moon", "a.jpg,Glass,", "x.jpg,Glass,"]
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


def test_a_share_goes_to_val(tmp_path: Path, render_root: Callable) -> None:
    names = [f"{name}/{number}.jpg" for name in ("Glass", "Metal") for number in range(20)]
    result = gather(fill(tmp_path / "in", names), tmp_path / "out", val=0.2)
    assert result["images"] == {"Glass": {"train": 16, "val": 4}, "Metal": {"train": 16, "val": 4}}


def test_nothing_to_gather(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        gather(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        gather(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
