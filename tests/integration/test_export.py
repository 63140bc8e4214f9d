"""Exports that a run leaves, and latency as an objective."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.deployment import compare, export

pytest.importorskip("onnxruntime", reason="make setup-deploy installs onnxruntime")


@pytest.mark.slow
def test_a_run_exports_its_best_checkpoint_and_returns_its_latency(
    quick_run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TIMED", 3)
    monkeypatch.setattr(compare, "CALLS", 3)
    record = quick_run("export=[onnx]", "objective=[val/f1,val/latency_ms]", "predict=false")
    assert record["objective"] == (record["val/f1"], record["val/latency_ms"])
    assert record["val/latency_ms"] > 0
    content = json.loads((Path(record["export"]) / "export.json").read_text())
    reference, onnx = content["rows"]
    assert reference["judgement"]["f1"] == pytest.approx(record["val/f1"], abs=1e-6)
    assert onnx["judgement"]["logit_difference"] < 1e-4
