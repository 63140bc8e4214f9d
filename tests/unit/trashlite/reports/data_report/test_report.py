"""The report from end to end, on small and on hostile data sets; the network is left out but where it matters."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from trashlite.data.audit import shortcuts
from trashlite.data.relabel import Verdicts
from trashlite.errors import UserError
from trashlite.reports.data_report import __main__ as command
from trashlite.reports.data_report import report
from trashlite.reports.data_report.pictures import draw
from trashlite.reports.data_report.report import write_report
from trashlite.reports.pictures import save_figure
from trashlite.reports.predictions import write_predictions

EVIL = "<img src=x onerror=alert(1)>&\"'"
VOID = ("meta", "img", "br")


class Reader(HTMLParser):
    """Checks that tags are closed, counts them, and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.files: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not any(name.startswith("on") for name in given)
        self.tags.append(tag)
        self.fetched += [str(given[name]) for name in ("src", "href", "srcset") if name in given]
        self.files += [str(given["data-file"])] if "data-file" in given else []
        self.ids += [str(given["id"])] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def few_trees_and_coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a report's time goes into them, and no test here asks for more."""
    monkeypatch.setattr(shortcuts, "TREES", 3)
    monkeypatch.setattr(report, "save_figure", partial(save_figure, dpi=40))


def read(folder: Path) -> tuple[Reader, dict]:
    reader = Reader()
    reader.feed((folder / "report.html").read_text())
    reader.close()
    assert reader.open == []
    assert all(each.startswith(("data:", "#")) for each in reader.fetched)
    assert {each[1:] for each in reader.fetched if each.startswith("#")} <= set(reader.ids)
    return reader, json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, render_root: Callable) -> Path:
    """Two classes that differ in size, one with a white border; a copy across parts with another label; evil names."""
    folder = tmp_path_factory.mktemp("report")
    root = render_root(
        folder / "set",
        {f"{part}/{name}": 12 if part == "train" else 5 for part in ("train", "val") for name in ("Can", "Jar")},
    )
    render_root(root, {"test/NoLabel": 3})
    for number, path in enumerate(sorted((root / "train/Can").iterdir())):
        white = Image.new("RGB", (120 + number, 90), "white")
        white.paste(Image.open(path).resize((40, 40)), (40, 25))
        white.save(path)
    shutil.copy(root / "train/Jar/000.jpg", root / "val/Can/copy.jpg")
    shutil.copy(root / "train/Jar/001.jpg", root / f"train/Jar/{EVIL.replace('/', '')}, é.jpg")
    (root / "train/Jar/broken.jpg").write_bytes(b"\xff\xd8 no more")
    return root


def test_the_page_stands_alone_and_tells_what_is_wrong(small: Path, tmp_path: Path) -> None:
    sentences = write_report(small, tmp_path / "out", network=False)
    reader, result = read(tmp_path / "out")
    assert reader.tags.count("script") == 1
    text = (tmp_path / "out" / "report.html").read_text()
    assert EVIL.replace("/", "") not in text
    assert "<li>1 file cannot be read" in text
    assert text.index("<li>") < text.index("<table")
    assert result["findings"] == sentences
    assert list(result["unreadable"]) == ["train/Jar/broken.jpg"]
    duplicates = result["duplicates"]
    assert (duplicates["exact"], duplicates["conflicts"]) == (2, 1)
    assert duplicates["parts"]["train and val"] == 1
    assert result["properties"]["has a white border"]["shares"][0] == pytest.approx(12 / 18)
    assert any("67% of Can has a white border, 0% of Jar" in sentence for sentence in sentences)
    assert result["counts"]["classes"]["Jar"] == {"train": 14, "val": 5, "test": 0}
    assert {path.stem for path in (tmp_path / "out" / "pictures").iterdir()} >= {
        "counts",
        "sizes",
        "light",
        "properties",
        "shortcuts",
    }
    assert {"val/Can/copy.jpg", "train/Jar/000.jpg"} <= set(reader.files)  # a verdict can be given on each


def test_out_of_fold_predictions_judge_the_labels(small: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(small).as_posix() for path in small.glob("train/*/0*.jpg"))
    labels = [file.split("/")[1] for file in files]
    probabilities = np.array([[0.9, 0.1] if label == "Can" else [0.1, 0.9] for label in labels])
    probabilities[3] = (0.02, 0.98)
    write_predictions(tmp_path / "out_of_fold.csv", ["Can", "Jar"], files, labels, probabilities)
    write_report(small, tmp_path / "out", network=False, out_of_fold=tmp_path / "out_of_fold.csv")
    with (tmp_path / "out" / "suspects.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [["file", "given", "predicted", "margin"], ["train/Can/003.jpg", "Can", "Jar", "-0.96"]]
    reader, result = read(tmp_path / "out")
    assert result["labels"]["source"] == "the cross-validation"
    assert result["labels"]["confusion"] == [[11, 1], [0, 12]]
    assert "train/Can/003.jpg" in reader.files
    assert {"labels", "confused"} <= set(reader.ids)


def test_verdicts_hold_beside_out_of_fold_predictions(small: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(small).as_posix() for path in small.glob("train/*/0*.jpg"))
    probabilities = np.tile([0.1, 0.9], (len(files), 1))
    labels = [file.split("/")[1] for file in files]
    write_predictions(tmp_path / "p.csv", ["Can", "Jar"], files, labels, probabilities)
    verdicts = [f"{file},Jar" for file, label in zip(files, labels, strict=True) if label == "Can"][:-1]
    (tmp_path / "relabel.csv").write_text("\n".join(["file,label", *verdicts]))
    settings = {"out_of_fold": tmp_path / "p.csv", "relabel": tmp_path / "relabel.csv"}
    write_report(small, tmp_path / "out", network=False, **settings)
    _, result = read(tmp_path / "out")
    assert result["labels"]["confusion"] == [[0, 1], [0, len(files) - 1]]


def test_predictions_of_another_data_set_are_refused(small: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", ["Can", "Tin"], ["train/Can/000.jpg"], ["Can"], np.array([[1.0, 0.0]]))
    with pytest.raises(UserError, match=r"another data set: 1 of their 1 files.*Can, Tin, not Can, Jar"):
        write_report(small, tmp_path / "out", network=False, out_of_fold=tmp_path / "p.csv")


def test_features_of_a_network_give_the_rest(small: Path, tmp_path: Path) -> None:
    write_report(small, tmp_path / "out")
    reader, result = read(tmp_path / "out")
    assert {"leakage", "labels", "learning"} <= set(reader.ids)
    assert result["labels"]["images"] == 12 + 13 + 5 + 6
    assert [point["share"] for point in result["learning"]["curve"]] == [0.125, 0.25, 0.5, 1.0]
    assert result["neighbours"]["pairs"][0] | {"similarity": 1} == {
        "val": "val/Can/copy.jpg", "train": "train/Jar/000.jpg", "labels": ["Can", "Jar"], "similarity": 1
    }  # fmt: skip


def test_verdicts_count_as_labels(small: Path, tmp_path: Path) -> None:
    (tmp_path / "relabel.csv").write_text("file,label\nval/Can/copy.jpg,Jar\ntrain/Jar/broken.jpg,drop\n")
    write_report(small, tmp_path / "out", network=False, relabel=tmp_path / "relabel.csv")
    result = read(tmp_path / "out")[1]
    assert result["duplicates"]["conflicts"] == 0
    assert result["unreadable"] == {}


@pytest.mark.parametrize(
    "counts",
    [
        {"train/One": 9},
        {"train/A": 1, "train/B": 1},
        {"train/A": 6, "train/B": 6, "train/Rare": 1},
        {"test/NoLabel": 3},
        {"train/A": 3, "val/A": 2, "test/A": 2},
        {"val/A": 6, "val/B": 7},
    ],
    ids=str,
)
def test_sets_with_little_in_them(tmp_path: Path, render_root: Callable, counts: dict[str, int]) -> None:
    sentences = write_report(render_root(tmp_path / "set", counts), tmp_path / "out")
    assert sentences
    assert read(tmp_path / "out")[1]["images"] == sum(counts.values())


@pytest.mark.filterwarnings("error")
def test_properties_that_no_image_has_are_not_drawn() -> None:
    found = {"is grey": {"shares": [0.0, 0.0]}, "is dark": {"shares": [0.0, 0.5]}}
    assert list(draw({"class_names": ["A", "B"], "properties": found})) == ["properties"]
    assert not draw({"class_names": ["A", "B"], "properties": {"is grey": found["is grey"]}})


def test_only_broken_files_and_odd_pictures(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("A", "B"):
        (root / "train" / name).mkdir(parents=True)
        (root / "train" / name / "x.jpg").write_bytes(b"nothing")
    assert write_report(root, tmp_path / "out") == ["None of the files can be read as an image."]
    read(tmp_path / "out")
    Image.new("RGB", (1, 1)).save(root / "train/A/one.png")
    Image.new("RGB", (5000, 2)).save(root / "train/A/line.png")
    Image.new("RGB", (1, 3000), "white").save(root / "train/B/pole.png")
    write_report(root, tmp_path / "out")  # over the first report
    result = read(tmp_path / "out")[1]
    assert (result["images"], len(result["unreadable"])) == (3, 2)


def test_a_folder_of_something_else_is_left_alone(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="would be lost"):
        write_report(small, tmp_path / "mine", network=False)
    with pytest.raises(SystemExit):
        command.main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not re.search("Traceback", capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium here")
def test_chromium_saves_verdicts_that_a_run_reads(small: Path, tmp_path: Path) -> None:
    write_report(small, tmp_path / "out", network=False)
    probe = """<script>
      URL.createObjectURL = blob => {
        blob.text().then(text => document.title = encodeURIComponent(text)); return "#"; };
      for (const select of document.querySelectorAll("select")) if (select.dataset.file.includes("é")) {
        select.value = "drop"; select.dispatchEvent(new Event("change")); }
      document.getElementById("save").click();
    </script></body>"""
    path = tmp_path / "probe.html"
    path.write_text((tmp_path / "out" / "report.html").read_text().replace("</body>", probe))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    result = subprocess.run(["chromium", *flags, path.as_uri()], capture_output=True, text=True, check=True)
    (tmp_path / "relabel.csv").write_text(unquote(result.stdout.partition("<title>")[2].partition("</title>")[0]))
    name = next(path.relative_to(small).as_posix() for path in small.rglob("*é.jpg"))
    assert dict(Verdicts.read(tmp_path / "relabel.csv").labels) == {name: "drop"}
