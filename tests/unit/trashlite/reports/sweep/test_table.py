import csv
import io
from pathlib import Path

import pytest

from tests.sweep_folder import write_job
from trashlite.reports.sweep.records import read_jobs
from trashlite.reports.sweep.table import SweepTable


def table_of(folder: Path) -> SweepTable:
    return SweepTable.of(folder, read_jobs(folder))


def mixed(folder: Path) -> SweepTable:
    write_job(folder / "0", "lr=1", f1=0.7, macs=2_000_000)
    write_job(folder / "1", "lr=2", state="failed", error="nan | [bold]")
    write_job(folder / "2", "lr=3", f1=0.8, macs=1_000_000, checkpoint=str(folder / "2" / "checkpoints" / "best.ckpt"))
    write_job(folder / "3", "lr=4", state="pruned", reason="hopeless", **{"val/f1": 0.9, "model/macs": 10})
    write_job(folder / "4", "lr=5")
    write_job(folder / "5", "lr=6", f1=0.9, macs=13_000_000, trial={"study": "s", "promoted_from": 0})
    write_job(folder / "6", "lr=7", f1=None)
    return table_of(folder)


def test_best_score_first_and_what_has_no_result_last(tmp_path: Path) -> None:
    table = mixed(tmp_path)
    assert [job.name for job in table.jobs] == ["2", "0", "5", "6", "3", "1", "4"]
    assert table.best is not None
    assert table.best.name == "2"
    assert table.front == {"2", "5"}  # a pruned job is in no front, a promoted one stands among the others
    assert [job.name for job in table.unfinished] == ["3", "1", "4"]
    assert table.counts() == "7 jobs: 4 completed, 1 pruned, 1 failed, 1 unfinished; 2 in the F1/MACs front"


def test_without_scores_the_highest_f1_is_best(tmp_path: Path) -> None:
    write_job(tmp_path / "0", state="completed", **{"val/f1": 0.2})
    write_job(tmp_path / "1", state="completed", **{"val/f1": 0.3})
    assert [job.name for job in table_of(tmp_path).jobs] == ["1", "0"]
    write_job(tmp_path / "2" / "0", state="completed")
    assert table_of(tmp_path / "2").best is None


def test_among_equals_the_cheaper_is_first_and_the_floor_itself_is_reached(tmp_path: Path) -> None:
    floor = {"state": "completed", "val/f1": 0.5}
    for name, macs, score in (("0", 3_000_000, None), ("1", 2_000_000, None), ("2", 4_000_000, 0.9)):
        job = write_job(tmp_path / name, **floor, **{"model/macs": macs, "val/score": score})
        (job / ".hydra" / "config.yaml").write_text("score: {floor: 0.5}")
    assert [job.name for job in table_of(tmp_path).jobs] == ["2", "1", "0"]


def test_what_has_no_result_keeps_its_order(tmp_path: Path) -> None:
    for name, f1 in (("0", 0.2), ("1", 0.9)):
        write_job(tmp_path / name, state="pruned", **{"val/f1": f1, "model/macs": 10})
    assert [job.name for job in table_of(tmp_path).jobs] == ["0", "1"]


def test_other_macs_on_other_data_are_no_trade_off(tmp_path: Path) -> None:
    for name, macs, data in (("0", 1, "a"), ("1", 1, "a"), ("2", 2, "b"), ("3", None, "b")):
        write_job(tmp_path / name, state="completed", data=data, **{"val/f1": 0.6, "model/macs": macs})
    assert "all jobs have the same MACs" in table_of(tmp_path).meaning


def test_jobs_of_no_known_data_make_no_column(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.5, data="demo")
    write_job(tmp_path / "1", state="failed", error="no")
    assert "data" not in table_of(tmp_path).headings
    write_job(tmp_path / "2", f1=0.5, data="trash9")
    assert "data" in table_of(tmp_path).headings


def test_a_checkpoint_is_told_from_the_folder_however_that_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_job(tmp_path / "sweep" / "0", f1=0.5, checkpoint=str(tmp_path / "sweep" / "0" / "best.ckpt"))
    monkeypatch.chdir(tmp_path)
    table = table_of(Path("sweep"))
    assert "0/best.ckpt" in table.cells(table.jobs[0])


def test_short_overrides_are_shown_whole(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "a=1", "b=1", f1=0.5)
    write_job(tmp_path / "1", "a=1", "b=2", f1=0.4)
    table = table_of(tmp_path)
    assert [table.overrides(job) for job in table.jobs] == ["a=1 b=1", "a=1 b=2"]
    assert table.common == ""


def test_long_overrides_are_cut_to_what_differs(tmp_path: Path) -> None:
    common = [f"datamodule.root=/{'x' * 60}", "backbone=lcnet_035"]
    write_job(tmp_path / "0", *common, "optimizer.lr=0.00123456789", f1=0.5)
    write_job(tmp_path / "1", *common, "optimizer.lr=0.002", "image_size=[32,48]", "flag=true", f1=0.4)
    table = table_of(tmp_path)
    assert [table.overrides(job) for job in table.jobs] == [
        "optimizer.lr=0.001235",
        "optimizer.lr=0.002 image_size=[32,48] flag=true",
    ]
    assert table.common == " ".join(common)
    assert f"All jobs: {common[0]}" in table.markdown()
    write_job(tmp_path / "2" / "0", *common, f1=0.5)  # one job: nothing to differ from
    assert "datamodule.root=" in table_of(tmp_path / "2").overrides(table_of(tmp_path / "2").jobs[0])


def test_csv_has_every_figure_in_full(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(mixed(tmp_path).csv())))
    assert [row["job"] for row in rows] == ["2", "0", "5", "6", "3", "1", "4"]
    assert float(rows[0]["f1"]) == 0.8
    assert rows[0]["macs"] == "1000000"
    assert rows[0]["checkpoint"] == str(tmp_path / "2" / "checkpoints" / "best.ckpt")
    assert [row["front"] for row in rows[:3]] == ["1", "0", "1"]
    assert (rows[2]["promoted_from"], rows[5]["reason"], rows[5]["lr"]) == ("0", "nan | [bold]", "2")


def test_markdown_has_a_row_for_each_job(tmp_path: Path) -> None:
    lines = mixed(tmp_path).markdown().splitlines()
    assert len(lines) == 2 + 7
    assert lines[2].startswith("| ● | 2 |")
    assert r"2/checkpoints/best.ckpt" in lines[2]
    assert lines[4].startswith("| ● | 5 |")
    write_job(tmp_path / "x" / "0", "a='p|q_r<b>'", f1=0.5)
    assert r"p\|q\_r\<b\>" in table_of(tmp_path / "x").markdown()


def test_below_the_floor_the_highest_f1_is_best(tmp_path: Path) -> None:
    """There the score is 1 and more, the less the cheaper the network is."""
    for name, f1, macs in (("0", 0.107, 640_000), ("1", 0.283, 1_370_000), ("2", 0.2, 900_000)):
        config = write_job(tmp_path / name, f1=f1, macs=macs) / ".hydra" / "config.yaml"
        config.write_text("score: {floor: 0.5}")
    assert [job.name for job in table_of(tmp_path).jobs] == ["1", "2", "0"]
    config = write_job(tmp_path / "3", f1=0.5, macs=5_000_000) / ".hydra" / "config.yaml"
    config.write_text("score: {floor: 0.5}")
    assert table_of(tmp_path).jobs[0].name == "3"


def test_promoted_jobs_and_trials_share_one_front(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.094, macs=2_320_000)
    write_job(tmp_path / "promoted_2", f1=0.498, macs=550_000, trial={"study": "s", "promoted_from": 2})
    assert table_of(tmp_path).front == {"promoted_2"}


def test_data_sets_are_kept_apart(tmp_path: Path) -> None:
    for name, f1, data in (("0", 0.9, "data/demo"), ("1", 0.6, "/x/trash9"), ("2", 0.5, "/x/trash9")):
        write_job(tmp_path / name, f1=f1, data=data)
    table = table_of(tmp_path)
    assert [job.name for job in table.jobs] == ["1", "2", "0"]  # those of most jobs first
    assert table.front == {"0", "1"}
    assert table.data_sets == ["trash9", "demo"]
    assert table.best is not None
    assert table.best.name == "1"
    assert "data" in table.headings
    assert "of 2 data sets" in table.counts()
    write_job(tmp_path / "one" / "0", f1=0.9, data="data/demo")
    assert "data" not in table_of(tmp_path / "one").headings


def test_jobs_of_the_same_macs_have_no_front_but_a_highest_f1(tmp_path: Path) -> None:
    for name, f1 in (("0", 0.5), ("1", 0.6), ("2", 0.6)):
        write_job(tmp_path / name, f1=f1)
    table = table_of(tmp_path)
    assert table.front == {"1", "2"}
    assert table.counts() == "3 jobs: 3 completed"
    assert table.meaning == "the highest F1 (all jobs have the same MACs)"
    write_job(tmp_path / "3", f1=0.5, macs=1_000_000)
    assert table_of(tmp_path).counts() == "4 jobs: 4 completed; 3 in the F1/MACs front"
