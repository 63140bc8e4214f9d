"""Figures in metrics.csv."""

import csv
from pathlib import Path

import pytest

from loggers.csv import create_csv_logger


def test_metrics_lie_in_the_run_folder_and_outlive_a_resume(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "run.log").write_text("")
    for value in ("1.0", "2.0", "3.0"):
        logger = create_csv_logger(str(tmp_path))
        logger.log_metrics({"val/f1": float(value)}, step=5)
        logger.finalize("success")
        with (tmp_path / "metrics.csv").open() as file:
            assert list(csv.DictReader(file)) == [{"val/f1": value, "step": "5"}]
    assert "1.0" in (tmp_path / "metrics_1.csv").read_text()
    assert "2.0" in (tmp_path / "metrics_2.csv").read_text()
    assert not [warning for warning in recwarn if "not empty" in str(warning.message)]
