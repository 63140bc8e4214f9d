"""A checkpoint becomes a folder that runs without us: each format is written, run from its files and judged."""

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix

from trashlite.calibration import calibrate
from trashlite.compression import count_macs
from trashlite.data.decode import kernel_of
from trashlite.deployment.card import model_card
from trashlite.deployment.data import data_root, open_labelled
from trashlite.deployment.formats import FORMATS, load_format
from trashlite.deployment.latency import installed_mb, torch_milliseconds
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.spec import ExportSpec, Format, GoldenImage, LabelledImages
from trashlite.deployment.table import ExportRow, describe_machine, export_table, judge
from trashlite.errors import UserError
from trashlite.files import FULL, check_replaceable, replacing_folder, write_text
from trashlite.metrics import bootstrap_f1
from trashlite.network import read_checkpoint

log = logging.getLogger(__name__)

Logits = NDArray[np.float32]
GOLDEN_PER_CLASS = 2
TIMED = 1000  # calls
COMMON = ("export.json", "export.md", "golden", "model_card.md", "preprocessing.json")


def export_checkpoint(
    path: str | Path,
    formats: Sequence[str],
    out: Path | None = None,
    root: str | Path | None = None,
    max_drop: float = 0.005,
) -> tuple[Path, list[ExportRow]]:
    """Export a checkpoint to a folder that appears when it is complete; a format that fails is a row with its reason.

    Args:
        path: of the checkpoint.
        formats: see `FORMATS`.
        out: the folder; an earlier export there is replaced. None: logs/exports/<name of the checkpoint>.
        root: the data set to calibrate with and to judge by; None: that of the checkpoint's run.
        max_drop: macro F1 that quantised formats may lose.

    Raises:
        UserError: no such checkpoint, data or format, a folder that is something else, or no format that works.
    """
    makers = {name: load_format(name) for name in formats}
    checkpoint = read_checkpoint(path)
    out = out or Path("logs/exports") / export_name(path)
    check_replaceable(out, (*COMMON, *FORMATS), "export")
    predictor = Predictor.from_checkpoint(path)
    train, val = open_labelled(checkpoint, root)
    logits = predictor.logits(val.pixels)
    if not predictor.calibration.images:  # nobody has calibrated it
        predictor.calibration = calibrate(logits, val.targets)
    name, data = export_name(path), data_root(checkpoint, root).resolve().name
    spec = make_spec(name, checkpoint, predictor, train, val, logits, max_drop, data)
    with replacing_folder(out) as folder:
        write_common(spec, folder)
        rows = [export_format(name, make, predictor, spec, folder / name, logits) for name, make in makers.items()]
        if all(row.failed for row in rows):
            raise UserError("\n".join(f"{row.format}: {row.status}" for row in rows))
        rows = [torch_row(predictor, spec, logits), *rows]
        write_text(folder / "export.md", f"# {spec.name}\n\n{export_table(rows)}\n\n{describe_machine()}\n")
        content = {"name": spec.name, "machine": describe_machine(), "rows": [asdict(row) for row in rows]}
        write_text(folder / "export.json", json.dumps(content, indent=2))
    return out, rows


def export_name(path: str | Path) -> str:
    """Name of a checkpoint's network: its run's folder, in letters, digits and `_`."""
    folder = Path(path).resolve().parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    return re.sub(r"\W+", "_", folder.name, flags=re.ASCII).strip("_") or "network"


def make_spec(
    name: str,
    checkpoint: Mapping[str, Any],
    predictor: Predictor,
    train: LabelledImages,
    val: LabelledImages,
    logits: Logits,
    max_drop: float,
    data: str,
) -> ExportSpec:
    """All that formats need, from the network's `logits` (N, C) of `val`."""
    report = count_macs(predictor.network, (3, *predictor.preprocessing["image_size"]))
    labels = range(len(predictor.class_names))
    confusion = confusion_matrix(val.targets, logits.argmax(axis=1), labels=list(labels))
    card = model_card(
        name,
        checkpoint,
        macs=report.macs,
        parameters=report.params,
        f1=bootstrap_f1(confusion),
        images=(len(train.files), len(val.files)),
        data=data,
        calibration=predictor.calibration,
    )
    rows = np.concatenate([np.flatnonzero(val.targets == label)[:GOLDEN_PER_CLASS] for label in labels])
    golden = [
        GoldenImage(
            f"{number:02d}{val.files[row].suffix.lower()}", val.files[row].read_bytes(), val.pixels[row], logits[row]
        )
        for number, row in enumerate(rows)
    ]
    return ExportSpec(
        name=name,
        class_names=predictor.class_names,
        preprocessing=predictor.preprocessing,
        golden=golden,
        train=train,
        val=val,
        temperature=predictor.calibration.temperature,
        threshold=predictor.calibration.threshold,
        max_drop=max_drop,
        card=card,
        macs=report.macs,
        parameters=report.params,
    )


def write_common(spec: ExportSpec, folder: Path) -> None:
    """Write what belongs to every format: the card, `preprocessing.json` and the golden images."""
    write_text(folder / "model_card.md", spec.card)
    content = {
        "class_names": list(spec.class_names),
        **spec.preprocessing,
        "kernel": kernel_of(spec.preprocessing),
        "temperature": spec.temperature,
        "threshold": spec.threshold,
    }
    write_text(folder / "preprocessing.json", json.dumps(content, ensure_ascii=False, indent=2))
    (folder / "golden").mkdir()
    listed = []
    for image in spec.golden:
        pixels = f"{Path(image.name).stem}_pixels.png"
        (folder / "golden" / image.name).write_bytes(image.raw)
        Image.fromarray(image.pixels).save(folder / "golden" / pixels)
        listed.append({"file": image.name, "pixels": pixels, "logits": [float(value) for value in image.logits]})
    write_text(folder / "golden" / "golden.json", json.dumps(listed, indent=1))


def torch_row(predictor: Predictor, spec: ExportSpec, logits: Logits) -> ExportRow:
    """The network as it is in torch: what the formats are compared with."""
    p50, p95 = np.percentile(torch_milliseconds(predictor.network, spec.preprocessing["image_size"], TIMED), [50, 95])
    return ExportRow(
        "torch",
        "reference",
        runtime_mb=installed_mb("torch"),
        judgement=judge(spec, logits, logits),
        p50_ms=float(p50),
        p95_ms=float(p95),
    )


def export_format(
    name: str, make: Format, predictor: Predictor, spec: ExportSpec, folder: Path, reference: Logits
) -> ExportRow:
    """Write one format into a new folder, run it on all validation files, and time it."""
    folder.mkdir()
    try:
        made = make(predictor.network, spec, folder)
        file_kb = sum((folder / file).stat().st_size for file in made.files) / 1000
        if made.logits is None:
            return ExportRow(name, f"written, not tried: {made.untried}", file_kb=file_kb, notes=made.notes)
        golden = made.logits([folder.parent / "golden" / image.name for image in spec.golden])
        differs = float(np.abs(golden - np.stack([image.logits for image in spec.golden])).max())
        times = None if made.milliseconds is None else np.percentile(made.milliseconds(TIMED), [50, 95])
        return ExportRow(
            name,
            f"golden images agree to {differs:.1e}",
            file_kb=file_kb,
            runtime_mb=made.runtime_mb,
            judgement=judge(spec, made.logits(spec.val.files), reference),
            p50_ms=None if times is None else float(times[0]),
            p95_ms=None if times is None else float(times[1]),
            flash_kb=made.flash_kb,
            ram_kb=made.ram_kb,
            notes=made.notes,
        )
    except Exception as error:  # exporters and compilers raise nearly anything
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        log.debug("The export to %s failed", name, exc_info=True)
        shutil.rmtree(folder)
        return ExportRow(name, f"failed: {_reason(error)}", failed=True)


def _reason(error: Exception) -> str:
    """One line: of a program the last that it said, of anything else the first."""
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        said = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        return f"{Path(error.cmd[0]).name}: {said.strip().splitlines()[-1]}"
    return (str(error) or type(error).__name__).strip().splitlines()[0]
