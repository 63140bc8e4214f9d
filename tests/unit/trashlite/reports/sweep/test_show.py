import io
from pathlib import Path

from rich.console import Console

from tests.sweep_folder import write_job, write_sweep
from trashlite.reports.sweep.records import read_jobs
from trashlite.reports.sweep.report import Report
from trashlite.reports.sweep.show import ROWS, show
from trashlite.reports.sweep.table import SweepTable


def shown(folder: Path, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    show(Report(SweepTable.of(folder, read_jobs(folder)), again="python run.py --config-dir x"), console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_ten_rows_fit_a_screen_of_80_columns(tmp_path: Path) -> None:
    """Figures stay whole; of the settings as much as fits."""
    for number in range(60):
        settings = [
            f"backbone.kwargs.blocks=[[ds_r1_k3_s2_c{number}]]",
            f"image_size=[{number},48]",
            "optimizer.lr=0.001",
        ]
        write_job(tmp_path / str(number), *settings, f1=0.5 + number / 1000, macs=1_536_120 + number)
    lines = shown(tmp_path)
    rows = [line for line in lines if "1,536," in line]
    assert len(rows) == ROWS
    assert all(len(line) <= 80 for line in lines[: ROWS + 3])
    assert "0.5590" in rows[0]
    assert "1,536,179" in rows[0]
    assert "50 more rows in report.html" in " ".join(lines)
    assert "optimizer.lr" not in rows[0]  # all have the same


def test_jobs_that_differ_late_can_be_told_apart(tmp_path: Path) -> None:
    for number, size in enumerate(("[32,32]", "[48,48]")):
        settings = [
            "backbone.name=mobilenetv3_small_050" if number else "backbone.name=lcnet_035",
            f"image_size={size}",
        ]
        write_job(tmp_path / str(number), *settings, f1=0.5, macs=1_641_168)
    for width in (80, 120):
        lines = shown(tmp_path, width)
        assert all(len(line.rstrip()) <= width for line in lines[:6])
        table = " ".join(lines[:6])
        assert "image_size=[32,32]" in table
        assert "image_size=[48,48]" in table


def test_reasons_and_what_comes_next_stand_below(tmp_path: Path) -> None:
    write_sweep(tmp_path, 3)
    write_job(tmp_path / "3", state="failed", error="no [bold] hope")
    lines = shown(tmp_path)
    assert "job 3 failed: no [bold] hope" in lines
    assert lines[-1].startswith("page: ")
    assert lines[-2] == "best job again: python run.py --config-dir x"


def test_a_mark_is_explained_where_there_is_one(tmp_path: Path) -> None:
    write_job(tmp_path / "0", state="failed", error="no")
    assert not [line for line in shown(tmp_path) if line.startswith("●")]
    write_sweep(tmp_path, 3)
    assert "● no other job is better in F1 or MACs without being worse in the other." in shown(tmp_path)
