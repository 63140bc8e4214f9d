from pathlib import Path

import pytest

from tests.sweep_folder import write_job
from trashlite.reports.sweep.records import data_names, read_choices, read_jobs, varied_keys


def test_a_completed_job_tells_its_figures(tmp_path: Path) -> None:
    write_job(
        tmp_path / "0",
        "backbone=lcnet_035",
        "+optimizer.lr=1e-3",
        f1=0.75,
        macs=1_000_000,
        checkpoint="/x/best.ckpt",
        wandb="logs/0/wandb/offline-run-20261124_114541-70vp3h1m",
    )
    [job] = read_jobs(tmp_path)
    assert (job.name, job.state, job.reason) == ("0", "completed", "")
    assert (job.f1, job.macs, job.params, job.minutes) == (0.75, 1_000_000, 100_000, 1.5)
    assert job.score == pytest.approx(1e6 / 13_863_553 + 1 - 0.75 / 0.8342)
    assert (job.checkpoint, job.wandb_id) == ("/x/best.ckpt", "70vp3h1m")
    assert job.settings == {"backbone": "lcnet_035", "optimizer.lr": 0.001}


def test_no_job_hides_the_others(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "a=1", f1=0.5)
    write_job(tmp_path / "1", "a=2")  # killed
    write_job(tmp_path / "2", "a=3", state="failed", error="learning rate too high")
    write_job(tmp_path / "3", "a=4", state="pruned", reason="hopeless", **{"model/macs": 5e6, "val/f1": 0.2})
    for name, content in {"4": '{"state": "comp', "5": "[1]", "6": '{"state": "dancing"}'}.items():
        (write_job(tmp_path / name, "a=5") / "run.json").write_text(content)
    (write_job(tmp_path / "7", f1=0.6) / ".hydra" / "overrides.yaml").write_text("- [unclosed")
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "run.json").write_bytes(b"\xff\xfe")
    jobs = read_jobs(tmp_path)
    assert [job.state for job in jobs] == [
        "completed",
        "unfinished",
        "failed",
        "pruned",
        "unfinished",
        "unfinished",
        "unfinished",
        "completed",
        "unfinished",
    ]
    assert [job.reason for job in jobs[1:4]] == ["stopped before its end", "learning rate too high", "hopeless"]
    assert "run.json cannot be read" in jobs[4].reason
    assert (jobs[3].macs, jobs[3].f1) == (5e6, 0.2)
    assert jobs[4].settings == {"a": 5}


def test_figures_that_are_no_numbers_are_unknown(tmp_path: Path) -> None:
    write_job(tmp_path / "0", state="completed", **{"val/f1": None, "model/macs": "many", "val/score": float("nan")})
    write_job(tmp_path / "1", state="completed", **{"val/f1": True, "model/macs": float("inf"), "val/score": 10**400})
    for job in read_jobs(tmp_path):
        assert (job.f1, job.macs, job.score) == (None, None, None)


def test_folders_of_sweeps_and_single_runs_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/9", "sweep/promoted_9", "2026-01-01", "deep/er/3"):
        write_job(tmp_path / name, f1=0.5)
    (tmp_path / "sweep" / "9" / "wandb" / ".hydra").mkdir(parents=True)  # whatever lies in a run is no run
    names = [job.name for job in read_jobs(tmp_path)]
    assert names == ["2026-01-01", "deep/er/3", "sweep/9", "sweep/10", "sweep/promoted_9"]
    assert [job.name for job in read_jobs(tmp_path / "sweep" / "9")] == ["9"]
    assert read_jobs(tmp_path / "nothing") == []


def test_a_record_tells_the_overrides_where_hydras_are_gone_and_hidden_folders_hold_no_jobs(tmp_path: Path) -> None:
    (write_job(tmp_path / "0", "a=1", f1=0.5) / ".hydra" / "overrides.yaml").unlink()
    write_job(tmp_path / ".trash" / "1", "a=2", f1=0.9)
    [job] = read_jobs(tmp_path)
    assert job.overrides == ("a=1",)


def test_a_resumed_run_keeps_how_it_began(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "optimizer.lr=1", "trainer.max_epochs=3")
    write_job(tmp_path / "0", "resume=0/last.ckpt", "trainer.max_epochs=5", hydra=".hydra_resumed", f1=0.5)
    [job] = read_jobs(tmp_path)
    assert job.overrides == ("optimizer.lr=1", "trainer.max_epochs=3", "trainer.max_epochs=5")
    assert job.settings == {"optimizer.lr": 1, "trainer.max_epochs": 5}


def test_trials_and_promoted_jobs(tmp_path: Path) -> None:
    write_job(tmp_path / "3", f1=0.5, trial={"study": "nas", "number": 3, "params": {"width": 8}}, wandb_id="abc")
    write_job(tmp_path / "promoted_3", f1=0.6, trial={"study": "nas", "promoted_from": 3, "params": {"width": 8}})
    trial, promoted = read_jobs(tmp_path)
    assert (trial.study, trial.trial, trial.promoted_from, trial.wandb_id) == ("nas", 3, "", "abc")
    assert (promoted.trial, promoted.promoted_from, promoted.trial_params) == (None, "3", {"width": 8})


def test_the_wandb_id_of_a_failed_job_comes_from_its_files(tmp_path: Path) -> None:
    write_job(tmp_path / "0", state="failed", error="x")
    (tmp_path / "0" / "wandb" / "offline-run-20261124_114541-z9").mkdir(parents=True)
    assert read_jobs(tmp_path)[0].wandb_id == "z9"


def test_varied_keys_are_those_in_which_jobs_differ(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "a=1", "b=x", "c=[1,2]", f1=0.5)
    write_job(tmp_path / "1", "a=1", "b=y", "c=[1,2]", "d=1", f1=0.5)
    write_job(tmp_path / "2", "c=[1,2]", "b=x", "a=1", f1=0.5)
    assert varied_keys(read_jobs(tmp_path)) == ["b", "d"]


def test_choices_of_config_groups(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.5)
    [job] = read_jobs(tmp_path)
    assert read_choices(job) == {}
    (job.folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {backbone: lcnet_035, debug: null}}}")
    assert read_choices(job) == {"backbone": "lcnet_035", "debug": None}


def test_data_set_and_kind_of_a_job_come_from_its_record_or_configuration(tmp_path: Path) -> None:
    config = "datamodule: {root: /photos/trash9}\njob_type: submit\nscore: {floor: 0.4}\nx: ${y}"
    (write_job(tmp_path / "0", f1=0.5) / ".hydra" / "config.yaml").write_text(config)
    (write_job(tmp_path / "1", f1=0.5, data="data/demo") / ".hydra" / "config.yaml").write_text("show_data: true")
    first, second = read_jobs(tmp_path)
    assert (first.data, first.kind, first.floor) == ("trash9", "submit", 0.4)
    assert (second.data, second.kind, second.floor) == ("demo", "show_data", None)


def test_a_job_above_a_ceiling_is_out(tmp_path: Path) -> None:
    for name, macs in (("0", 2_000_000), ("1", 2_000_001)):
        write_job(tmp_path / name, f1=0.5, macs=macs)
    kept, out = read_jobs(tmp_path, {"model/macs": 2e6})
    assert (kept.state, out.state) == ("completed", "pruned")
    assert out.reason == "breaks a constraint: model/macs 2e+06 > 2e+06"


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        ({"/x/trash9", "data/demo"}, {"/x/trash9": "trash9", "data/demo": "demo"}),
        ({"/a/photos", "/b/photos"}, {"/a/photos": "a/photos", "/b/photos": "b/photos"}),
        (
            {"/a/photos", "../a/photos", "/b/photos"},
            {"/a/photos": "a/photos", "../a/photos": "a/photos", "/b/photos": "b/photos"},
        ),
        ({"../shared/trash9", "/w/shared/trash9"}, {"../shared/trash9": "trash9", "/w/shared/trash9": "trash9"}),
        ({"", "/x/trash9"}, {"": "", "/x/trash9": "trash9"}),
    ],
)
def test_folders_of_data_that_are_called_alike_are_told_apart(roots: set[str], names: dict[str, str]) -> None:
    assert data_names(roots) == names
