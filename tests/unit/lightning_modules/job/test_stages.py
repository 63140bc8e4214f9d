"""Stages of a run: its exports and their table."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from lightning_modules.job.stages import export
from loggers.wandb import create_wandb_logger, finish_wandb
from trashlite.deployment.table import ExportRow, Judgement


def test_the_table_of_an_export_reaches_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = Judgement(1e-6, 1.0, 0.5, -0.001, -0.002, 0.0)
    rows = [
        ExportRow("onnx", "works", file_kb=260.4, runtime_mb=17, judgement=judged, p50_ms=0.0451, p95_ms=0.05),
        ExportRow("c", "no compiler", failed=True),
    ]
    asked: list[Any] = []

    def export_checkpoint(*args: Any) -> tuple[Path, list[ExportRow]]:
        asked.extend(args)
        return tmp_path / "export", rows

    monkeypatch.setattr("trashlite.deployment.export.export_checkpoint", export_checkpoint)
    cfg, data = OmegaConf.create({"output_dir": str(tmp_path)}), SimpleNamespace(root=Path("data"))
    logger = create_wandb_logger(project="trashlite", save_dir=str(tmp_path), mode="offline")
    try:
        where = export(["onnx", "c"], cfg, data, [logger], "best.ckpt")  # type: ignore[arg-type]
    finally:
        finish_wandb()
    assert where == str(tmp_path / "export")
    assert asked == ["best.ckpt", ["onnx", "c"], tmp_path / "export", Path("data")]
    (file,) = tmp_path.rglob("media/table/export_*.table.json")
    table = json.loads(file.read_text())
    assert table["columns"][:3] == ["format", "status", "file kB"]
    first, second = table["data"]
    assert first[2:8] == ["260", "17", "1.0e-06", "100.0", "0.5000 (-0.0010, -0.0020 to +0.0000)", "0.045 / 0.050"]
    assert second == ["c", "no compiler", *["–"] * 6, "– / –"]
