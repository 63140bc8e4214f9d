import unicodedata
from pathlib import Path

import pytest

from trashlite.data.layout import Layout, scan
from trashlite.data.relabel import Verdicts
from trashlite.errors import UserError


def layout(tmp_path: Path) -> Layout:
    for name in (
        "train/Glass/a.jpg",
        "train/Glass/b.jpg",
        "train/Metal/é, 1.jpg",
        "val/Glass/c.jpg",
        "test/NoLabel/d.jpg",
    ):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return scan(tmp_path / "root")


def verdicts(tmp_path: Path, *rows: str, head: str = "file,label") -> Verdicts:
    file = tmp_path / "relabel.csv"
    file.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return Verdicts.read(file)


def test_labels_change_and_dropped_images_keep_their_place(tmp_path: Path) -> None:
    before = layout(tmp_path)
    decomposed = unicodedata.normalize("NFD", "train/Metal/é, 1.jpg")
    rows = [
        "train/Glass/a.jpg,Metal,sure",
        "train\\Glass\\b.jpg,Glass,",
        f'"./{decomposed}",drop,',
        "val/Glass/c.jpg,,",
        "x.jpg,drop,",
    ]
    after, account = verdicts(tmp_path, *rows, head="\ufefffile,label,note").apply(before)
    assert [record.path for record in after.train] == [record.path for record in before.train]
    assert [record.class_name for record in after.train] == ["Metal", "Glass", None]
    assert after.val == before.val
    assert after.unlabelled == before.unlabelled
    counts = {name: account[name] for name in ("changed", "dropped", "confirmed", "not_found")}
    assert counts == {"changed": {"Glass -> Metal": 1}, "dropped": 1, "confirmed": 1, "not_found": 1}
    assert "1 of 4 verdicts" in after.warnings[-1]


def test_images_of_val_and_test_follow_verdicts_too(tmp_path: Path) -> None:
    layout(tmp_path)
    (tmp_path / "root/test/Glass").mkdir()
    (tmp_path / "root/test/Glass/e.jpg").touch()
    rows = ["val/Glass/c.jpg,drop", "test/Glass/e.jpg,Metal"]
    after, account = verdicts(tmp_path, *rows).apply(scan(tmp_path / "root"))
    assert [record.class_name for record in (*after.val, *after.test)] == [None, "Metal"]
    assert (account["dropped"], account["changed"]) == (1, {"Glass -> Metal": 1})


@pytest.mark.parametrize("rows", [[], ["train/Glass/a.jpg,", "x.jpg,"]], ids=["none", "undecided"])
def test_no_verdict_changes_nothing(tmp_path: Path, rows: list[str]) -> None:
    before = layout(tmp_path)
    after, account = verdicts(tmp_path, *rows).apply(before)
    assert after == before
    assert account["not_found"] == 0


def test_a_verdict_on_two_images_hides_none_that_is_on_no_image(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        folder = tmp_path / "root/train" / unicodedata.normalize(form, "Café")
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    after, account = verdicts(tmp_path, "train/Café/a.jpg,drop", "train/Café/b.jpg,drop").apply(scan(tmp_path / "root"))
    assert [record.class_name for record in after.train] == [None, None]
    assert (account["dropped"], account["not_found"]) == (2, 1)


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (["train/Glass/a.jpg,Wood"], "file,label", "Wood.*Glass, Metal or drop"),
        (["Glass/a.jpg,drop"], "file,label", "None of the 1 images.*Glass/a.jpg"),
        (["test/NoLabel/d.jpg,Glass"], "file,label", "never"),
        (["train/Glass/a.jpg,Glass", "./train/Glass/a.jpg,Metal"], "file,label", "both as 'Glass' and as 'Metal'"),
        (["train/Glass/a.jpg,Glass"], "path,label", "columns file,label"),
    ],
)
def test_verdicts_that_cannot_be_followed(tmp_path: Path, rows: list[str], head: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        verdicts(tmp_path, *rows, head=head).apply(layout(tmp_path))


def test_files_that_are_no_verdicts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.csv cannot be read: No such file"):
        Verdicts.read(tmp_path / "nothing.csv")
    (tmp_path / "drop" / "train" / "drop").mkdir(parents=True)
    (tmp_path / "drop" / "train" / "drop" / "a.jpg").touch()
    with pytest.raises(UserError, match="a class of the name 'drop'"):
        verdicts(tmp_path, "train/drop/a.jpg,drop").apply(scan(tmp_path / "drop"))
