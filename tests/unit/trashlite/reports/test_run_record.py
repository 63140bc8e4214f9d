"""Record and summary of a run."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trashlite.errors import UserError
from trashlite.reports.run_record import select_objective, show_summary, write_record

RECORD: dict[str, Any] = {
    "backbone": "lcnet_035",
    "image_size": [32, 48],
    "resize_mode": "stretch",
    "fold_batchnorm": True,
    "model/macs": 783720,
    "model/flop_counter_macs": 783000,
    "model/params": 372979,
    "val/f1": 0.5,
    "minutes": 1.0,
}
TESTED = {
    "test/f1": 0.5,
    "test/interval_low": 0.4,
    "test/interval_high": 0.6,
    "test/p_f1_above_floor": 0.5,
    "test/score": 0.3,
}


def printed(record: dict[str, Any], width: int = 80) -> str:
    stream = io.StringIO()
    show_summary(record, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("tested_on", "rows"), [("val", ["val F1", "val score"]), ("test", ["val F1", "test F1", "test score"])]
)
def test_rows_are_named_by_the_images_they_are_of(tested_on: str, rows: list[str]) -> None:
    text = printed({**RECORD, **TESTED, "tested_on": tested_on})
    names = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert [name for name in names if "F1" in name or "score" in name] == [
        rows[0],
        *rows[1:-1],
        "P(F1 ≥ floor)",
        rows[-1],
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_paths_are_whole_and_relative(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs" / "runs" / ("2026-01-01_00-00-00-000000" * 3)
    text = printed({**RECORD, "checkpoint": str(folder / "checkpoints" / "best.ckpt"), "folder": str(folder)}, width)
    path = f"logs/runs/{folder.name}/checkpoints/best.ckpt"
    assert [line for line in text.splitlines() if path in line and "│" not in line]
    assert text.count(folder.name) == 1


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    write_record(tmp_path, {"val/f1": float("nan")})
    assert json.loads((tmp_path / "run.json").read_text()) == {"val/f1": None}


def test_a_finished_run_that_is_resumed_keeps_its_wandb_run(tmp_path: Path) -> None:
    kept = {"wandb_id": "x1", "wandb": "https://wandb.ai/x1"}
    write_record(tmp_path, {"state": "completed", **kept})
    write_record(tmp_path, {"state": "completed", "wandb_id": None, "wandb": None}, resumed=True)
    assert json.loads((tmp_path / "run.json").read_text()) == {"state": "completed", **kept}


def test_objectives_are_figures_in_their_order() -> None:
    assert select_objective(["model/macs", "val/f1"], RECORD) == (783720.0, 0.5)
    assert select_objective(["val/f1"], RECORD) == 0.5
    with pytest.raises(UserError, match="val/f2 was not measured"):
        select_objective(["val/f2"], RECORD)
    with pytest.raises(UserError, match="is nan"):
        select_objective(["val/f1"], {"val/f1": float("nan")})
