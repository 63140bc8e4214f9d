import base64
import re
from html.parser import HTMLParser
from pathlib import Path

from tests.sweep_folder import write_job
from trashlite.reports.sweep.page import page
from trashlite.reports.sweep.records import read_jobs
from trashlite.reports.sweep.table import SweepTable

EVIL = "<script>alert('x')</script>&\""


class Reader(HTMLParser):
    """Counts tags, checks that they are closed, and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.fetched: list[str] = []
        self.values: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "srcset")]
        self.values += [value for name, value in attrs if name == "data-value"]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_stands_alone_and_lets_no_string_become_markup(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f"a='{EVIL}'", f1=0.75, macs=1_234_567)
    write_job(tmp_path / "1", state="failed", error=EVIL)
    picture = tmp_path / "front.png"
    picture.write_bytes(b"\x89PNG picture")
    table = SweepTable.of(tmp_path, read_jobs(tmp_path))
    text = page(EVIL, table, {EVIL: picture}, [f"No picture {EVIL}."], f"# {EVIL}\n")
    reader = read(text)
    assert reader.count["script"] == 1  # ours
    assert reader.count["tr"] == 3
    heads = re.findall(r"<th class[^>]*>(.*?)</th>", text)
    assert heads == ["", "job", "F1", "MACs", "score", "overrides", "state", "minutes", "params", "reason"]
    assert reader.count["td"] == 2 * len(heads)
    source, *links = sorted(reader.fetched, key=lambda value: not value.startswith("data:"))
    assert sorted(links) == ["0/", "1/", "front.png"]  # from a job to its folder, from a picture to its file
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == picture.read_bytes()
    assert not re.search(r"https?://|@import|url\(", text)
    assert "0.75" in reader.values  # sorted by the exact figure
    assert "1234567" in reader.values


def test_a_page_without_pictures(tmp_path: Path) -> None:
    write_job(tmp_path / "0")
    reader = read(page("t", SweepTable.of(tmp_path, read_jobs(tmp_path)), {}, []))
    assert "img" not in reader.count
    assert "pre" not in reader.count


def test_the_table_comes_first_and_f1_and_macs_near_its_left_edge(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "backbone.kwargs.blocks=" + 30 * "ds_r1_k3_", f1=0.75)
    picture = tmp_path / "front.png"
    picture.write_bytes(b"\x89PNG")
    text = page("t", SweepTable.of(tmp_path, read_jobs(tmp_path)), {"front": picture}, [])
    assert text.index("<table") < text.index("<img")
    heads = re.findall(r"<th class[^>]*>(.*?)</th>", text)
    assert heads[:4] == ["", "job", "F1", "MACs"]
    assert "<details>" in text  # long settings are folded
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
