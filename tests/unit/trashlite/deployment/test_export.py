import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from trashlite.deployment import export as export_module
from trashlite.deployment.export import export_checkpoint, export_name
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.errors import UserError


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export_module, "TIMED", 5)


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two formats without any package: one answers as torch does but for the last class, one fails."""

    def lookup(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
        (folder / "table.txt").write_text("x" * 2000)
        predictor = Predictor(network, spec.class_names, spec.preprocessing)

        def logits(files: list[Path]) -> np.ndarray:
            found = predictor.logits(np.stack([predictor.pixels(file) for file in files]))
            found[:, -1] = found.min() - 1
            return found

        return Artefact(["table.txt"], logits, runtime_mb=3, flash_kb=7, notes=["a note"])

    def broken(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
        (folder / "half").write_text("")
        raise RuntimeError("no such operator\nand much more")

    makers = {"lookup": lookup, "broken": broken}
    monkeypatch.setattr(export_module, "load_format", makers.__getitem__)
    monkeypatch.setattr(export_module, "FORMATS", makers)


def test_what_cannot_be_run_here_is_written_all_the_same(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)  # no compiler, no node
    out, rows = export_checkpoint(tiny_checkpoint, ["c", "html"], tmp_path / "out", tiny_root)
    assert [row.status for row in rows[1:]] == [
        "written, not tried: there is no C compiler (cc, gcc, clang) here",
        "written, not tried: there is no node here (apt-get install nodejs)",
    ]
    assert rows[1].file_kb == pytest.approx(
        sum((out / "c" / name).stat().st_size for name in ("trashlite.h", "trashlite.c")) / 1000
    )
    assert (out / "html" / "index.html").is_file()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_what_a_program_said_last_is_the_reason(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho first >&2\necho no such option >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr("trashlite.deployment.c_build.find_compiler", lambda: str(compiler))
    with pytest.raises(UserError, match="c: failed: cc: no such option"):
        export_checkpoint(tiny_checkpoint, ["c"], tmp_path / "out", tiny_root)


@pytest.mark.usefixtures("formats")
def test_a_format_that_fails_is_a_row_with_its_reason_and_leaves_nothing(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    out, rows = export_checkpoint(tiny_checkpoint, ["broken", "lookup"], tmp_path / "out", tiny_root)
    assert [row.format for row in rows] == ["torch", "broken", "lookup"]
    assert [row.failed for row in rows] == [False, True, False]
    assert rows[1].status == "failed: no such operator"
    assert sorted(path.name for path in out.iterdir()) == [
        "export.json",
        "export.md",
        "golden",
        "lookup",
        "model_card.md",
        "preprocessing.json",
    ]
    lookup = rows[2]
    assert (lookup.file_kb, lookup.runtime_mb, lookup.flash_kb, lookup.ram_kb) == (2, 3, 7, None)
    assert lookup.judgement.agreement == pytest.approx(2 / 3)  # of three classes with three images each
    assert lookup.judgement.f1_difference == pytest.approx(lookup.judgement.f1 - rows[0].judgement.f1)
    assert lookup.judgement.f1_difference < 0
    table = (out / "export.md").read_text()
    assert "| broken | failed: no such operator | – |" in table
    assert "- lookup: a note" in table
    assert [row["format"] for row in json.loads((out / "export.json").read_text())["rows"]] == [
        "torch",
        "broken",
        "lookup",
    ]


@pytest.mark.usefixtures("formats")
def test_golden_images_are_files_of_val_with_their_pixels_and_logits(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    out, _ = export_checkpoint(tiny_checkpoint, ["lookup"], tmp_path / "out", tiny_root)
    golden = json.loads((out / "golden" / "golden.json").read_text())
    assert len(golden) == 6  # two of each class
    predictor = Predictor.from_checkpoint(tiny_checkpoint)
    raw = {path.read_bytes() for path in (tiny_root / "val").rglob("*.jpg")}
    for image in golden:
        file = out / "golden" / image["file"]
        assert file.read_bytes() in raw
        pixels = np.asarray(Image.open(out / "golden" / image["pixels"]))
        np.testing.assert_array_equal(pixels, predictor.pixels(file))
        np.testing.assert_allclose(predictor.logits(pixels[None])[0], image["logits"], atol=1e-5)
    assert "Glass, Metal, Plastic bag" in (out / "model_card.md").read_text()
    assert json.loads((out / "preprocessing.json").read_text())["kernel"] == "bilinear"


@pytest.mark.usefixtures("formats")
def test_an_earlier_export_is_replaced_and_anything_else_is_left_alone(
    tiny_checkpoint: Path, tiny_root: Path, tmp_path: Path
) -> None:
    out, _ = export_checkpoint(tiny_checkpoint, ["lookup"], tmp_path / "out", tiny_root)
    (out / "lookup" / "old").write_text("")
    with pytest.raises(UserError, match="broken: failed: no such operator"):
        export_checkpoint(tiny_checkpoint, ["broken"], out, tiny_root)
    assert (out / "lookup" / "old").exists()
    export_checkpoint(tiny_checkpoint, ["lookup"], out, tiny_root)
    assert not (out / "lookup" / "old").exists()
    (out / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"is no export: 'notes\.txt' would be lost"):
        export_checkpoint(tiny_checkpoint, ["lookup"], out, tiny_root)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_an_unknown_format_is_told_before_anything_is_read() -> None:
    with pytest.raises(UserError, match="no export format 'tflite'; choose from onnx"):
        export_checkpoint("nowhere.ckpt", ["tflite"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("results/trash9/trash9_1m/best.ckpt", "trash9_1m"),
        ("runs/2026-11-24_11-45/checkpoints/last.ckpt", "2026_11_24_11_45"),
    ],
)
def test_name_of_an_export(path: str, name: str) -> None:
    assert export_name(path) == name


def test_data_without_validation_images_and_a_split_of_its_own(
    tiny_checkpoint: Path, tmp_path: Path, render_root: Callable, formats: None
) -> None:
    """Train is split as the datamodule would split it: 15 % of each class are validation images."""
    root = render_root(tmp_path / "data", {"train/Glass": 20, "train/Metal": 20, "train/Plastic bag": 20})
    out, _ = export_checkpoint(tiny_checkpoint, ["lookup"], tmp_path / "out", root)
    assert "on 9 validation images" in (out / "model_card.md").read_text()
    assert "51 training images" in (out / "model_card.md").read_text()
