import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch
import wandb
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hydra_plugins.trashlite.jobs import multirun_name
from loggers.wandb import (
    TolerantWandbLogger,
    create_wandb_logger,
    finish_wandb,
    log_summary,
    restart_service,
    wandb_command,
    wandb_location,
)
from tests.harness import HANGS
from tests.wandb_reader import find_offline_runs, read_offline_run
from trashlite.errors import UserError


@pytest.fixture(autouse=True)
def wandb_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, settings or caches of the person who runs the tests, and nothing left running."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    restart_service()  # it keeps the environment it started with
    monkeypatch.setattr("loggers.wandb._warned", set())
    yield
    finish_wandb()
    restart_service()


def job(folder: Path, **settings: object) -> TolerantWandbLogger:
    return create_wandb_logger(project="trashlite", save_dir=str(folder), **settings)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of what our own module logged."""
    return [(r.levelname, r.message) for r in caplog.records if r.name == "loggers.wandb"]


def test_each_job_is_a_run_of_its_own_in_one_group(tmp_path: Path) -> None:
    for number, exit_code in enumerate((0, 1)):
        logger = job(tmp_path / str(number), group="sweep", job_type="train", tags=["a", "b"], notes="why")
        logger.log_hyperparams({"optimizer": {"lr": 0.1}, "class_names": ["유리", "Metal"]})
        logger.log_metrics({"val/f1": 0.5}, step=10)
        logger.log_metrics({"val/f1": 0.4 + number}, step=20)
        log_summary([logger], {"model/macs": 1234})
        finish_wandb(exit_code)

    runs = [read_offline_run(folder) for folder in find_offline_runs(tmp_path)]
    assert len(runs) == 2
    assert [run.exit_code for run in runs] == [0, 1]
    assert [run.name for run in runs] == ["0", "1"]
    for number, run in enumerate(runs):
        assert (run.project, run.group, run.job_type) == ("trashlite", "sweep", "train")
        assert (run.tags, run.notes) == (["a", "b"], "why")
        assert run.config["optimizer"] == {"lr": 0.1}
        assert run.config["class_names"] == ["유리", "Metal"]
        assert run.values("val/f1") == [0.5, 0.4 + number]
        assert run.values("trainer/global_step") == [10, 20]
        assert run.summary["model/macs"] == 1234
        assert run.summary["val/f1"] == 0.4 + number
        # Nothing about the machine, its packages or the code around the project.
        assert run.record_types.isdisjoint({"environment", "stats", "output", "output_raw"})
        assert run.files == []


def test_a_run_that_was_left_open_does_not_take_in_the_next(tmp_path: Path) -> None:
    job(tmp_path / "0").log_metrics({"a": 1})
    job(tmp_path / "1").log_metrics({"b": 2})
    finish_wandb(1)
    first, second = (read_offline_run(folder) for folder in find_offline_runs(tmp_path))
    assert (first.values("a"), first.values("b")) == ([1], [])
    assert (second.values("a"), second.values("b")) == ([], [2])
    assert second.exit_code == 1


class Tiny(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def on_train_epoch_end(self) -> None:
        self.log("val/f1", 1.0 - self.current_epoch)  # the first epoch is the best

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, logger: TolerantWandbLogger) -> None:
    settings = {"dirpath": folder / "checkpoints", "save_on_train_epoch_end": True}
    callbacks = [
        ModelCheckpoint(filename="best", monitor="val/f1", mode="max", **settings),
        ModelCheckpoint(filename="last", **settings),
    ]
    trainer = Trainer(
        max_epochs=2,
        logger=logger,
        callbacks=callbacks,
        accelerator="cpu",
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Tiny(), torch.utils.data.DataLoader(torch.ones(2, 1)))


def test_the_best_checkpoint_and_only_that_is_an_artifact(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = job(tmp_path)
    fit(tmp_path, logger)
    gc.collect()  # the trainer and its callbacks are gone when the next one, for testing, ends
    logger.finalize("success")
    finish_wandb()
    assert [text for level, text in said(caplog) if level == "WARNING"] == []
    run = read_offline_run(find_offline_runs(tmp_path)[0])
    assert [(a["type"], a["files"]) for a in run.artifacts] == [("model", ["model.ckpt"])]
    assert set(run.artifacts[0]["aliases"]) == {"latest", "best"}
    assert run.artifacts[0]["metadata"]["original_filename"] == "best.ckpt"
    assert run.values("val/f1") == [1.0, 0.0]


def test_without_a_key_the_run_is_offline_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loggers.wandb")
    logger = job(tmp_path)
    logger.log_metrics({"a": 1})
    finish_wandb()
    [folder] = find_offline_runs(tmp_path)
    assert said(caplog) == [
        ("INFO", f"W&B: offline (no API key); upload with: {wandb_command()} sync {os.path.relpath(folder)}")
    ]
    assert wandb_location([logger]) == str(folder)
    assert "wandb" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("server", ["closed", "silent"])
def test_a_server_that_does_not_answer_means_offline(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loggers.wandb")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        if server == "closed":
            listener.close()
        job(tmp_path, init_timeout=0.5).log_metrics({"a": 1})
        finish_wandb()
    [run] = [read_offline_run(folder) for folder in find_offline_runs(tmp_path)]
    assert run.values("a") == [1]
    assert [level for level, _ in said(caplog)] == ["WARNING", "INFO"]
    assert "W&B: offline (could not start online)" in said(caplog)[1][1]


class DyingServer(BaseHTTPRequestHandler):
    """W&B's server as far as a run needs it to begin, which then answers nothing any more."""

    protocol_version = "HTTP/1.1"
    dead: Event

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        if self.dead.is_set():
            self.dead.wait()
            self.close_connection = True
            return
        project = {"id": "p", "name": "trashlite", "entity": {"id": "e", "name": "me"}}
        data = {}
        if b"upsertBucket" in request:
            name = json.loads(request)["variables"]["name"]
            bucket = {"id": "r", "name": name, "displayName": name, "config": "{}", "project": project}
            data = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def dying_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Event that ends the answers of the server that WANDB_BASE_URL names."""
    dead = Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (DyingServer,), {"dead": dead}))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    yield dead
    server.shutdown()


def test_a_server_that_dies_stops_neither_this_job_nor_the_next(
    tmp_path: Path, dying_server: Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loggers.wandb")
    first = job(tmp_path / "0", init_timeout=HANGS, finish_timeout=1)
    first.log_metrics({"a": 1})
    dying_server.set()
    first.log_metrics({"a": 2})
    finish_wandb(1)
    [log_file] = (tmp_path / "0").rglob("run-*.wandb")
    run = read_offline_run(log_file.parent)
    assert (run.values("a"), run.exit_code) == ([1, 2], 1)
    assert said(caplog)[-1] == (
        "WARNING",
        f"W&B did not take all in 1 s. Upload the rest with: {wandb_command()} sync {os.path.relpath(log_file.parent)}",
    )

    job(tmp_path / "1", init_timeout=0.5).log_metrics({"a": 3})
    finish_wandb(0)
    [folder] = find_offline_runs(tmp_path / "1")
    run = read_offline_run(folder)
    assert (run.values("a"), run.exit_code) == ([3], 0)


def test_only_a_server_is_waited_for_impatiently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, waited = wandb.init, {}

    def broken(mode: str, settings: dict[str, Any], **others: Any) -> Any:
        waited[mode] = settings.get("init_timeout")
        if mode != "disabled":
            raise OSError
        return start(mode=mode, settings=settings, **others)

    monkeypatch.setattr(wandb, "init", broken)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    job(tmp_path, init_timeout=7).log_metrics({"a": 1})
    assert waited == {"online": 7, "offline": None, "disabled": None}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the service with pgrep")
def test_the_death_of_the_service_stops_neither_this_job_nor_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = job(tmp_path / "0")
    first.log_metrics({"a": 1})
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, check=True)
    os.kill(int(found.stdout), signal.SIGKILL)
    os.waitid(os.P_PID, int(found.stdout), os.WEXITED | os.WNOWAIT)  # it is for W&B to collect
    for step in range(5):
        first.log_metrics({"a": step}, step)
    log_summary([first], {"b": 1})
    first.log_hyperparams({"c": 1})
    first.finalize("success")
    finish_wandb(1)
    assert len([text for _, text in said(caplog) if "The run goes on" in text]) == 1

    job(tmp_path / "1").log_metrics({"a": 7})
    finish_wandb(0)
    second = read_offline_run(find_offline_runs(tmp_path / "1")[0])
    assert (second.values("a"), second.exit_code) == ([7], 0)


def test_a_start_that_fails_altogether_leaves_a_logger_that_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = wandb.init

    def broken(**settings: object) -> object:
        if settings["mode"] != "disabled":
            raise OSError("No space left on device")
        return start(**settings)

    monkeypatch.setattr(wandb, "init", broken)
    caplog.set_level(logging.INFO, "loggers.wandb")
    logger = job(tmp_path)
    logger.log_metrics({"a": 1})
    logger.experiment.summary.update({"b": 1})
    fit(tmp_path, logger)
    assert find_offline_runs(tmp_path) == []
    assert said(caplog)[-1] == ("INFO", "W&B: disabled (could not start offline)")
    assert wandb_location([logger]) is None


@pytest.mark.parametrize(
    ("variable", "mode", "runs"),
    [
        ("offline", "auto", 1),
        ("dryrun", "auto", 1),
        ("disabled", "auto", 0),
        ("online", "offline", 1),
        (None, "disabled", 0),
    ],
)
def test_the_mode_comes_from_the_config_or_the_environment(
    variable: str | None, mode: str, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    job(tmp_path, mode=mode).log_metrics({"a": 1})
    finish_wandb()
    assert len(find_offline_runs(tmp_path)) == runs


def test_an_unknown_mode_is_told_with_the_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"logger\.wandb\.mode='on': choose one of auto, online, offline"):
        job(tmp_path, mode="on")
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(UserError, match="WANDB_MODE='of'"):
        job(tmp_path)


def test_only_the_first_process_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = job(tmp_path)
    logger.log_metrics({"a": 1})
    logger.experiment.log({"a": 1})
    assert wandb.run is None
    assert list(tmp_path.iterdir()) == []


def test_finishing_without_a_run_does_nothing() -> None:
    finish_wandb(1)
    assert wandb.run is None


def test_jobs_of_a_multirun_take_its_folder_as_their_group(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1\n")
    assert multirun_name() is None
    try:
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            for mode, name in (("RUN", None), ("MULTIRUN", "2026-01-02_03-04")):
                sweep = [f"hydra.mode={mode}", "hydra.sweep.dir=logs/multiruns/2026-01-02_03-04"]
                HydraConfig.instance().set_config(compose("config", sweep, return_hydra_config=True))
                assert multirun_name() == name
    finally:
        HydraConfig.instance().cfg = None
    assert job(tmp_path, default_group="sweep")._wandb_init["group"] == "sweep"
    assert job(tmp_path, group="mine", default_group="sweep")._wandb_init["group"] == "mine"


def test_the_command_of_the_hint_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "wandb").touch()
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert wandb_command() == ".venv/bin/wandb"


def test_a_resumed_run_goes_on_under_its_id_and_both_parts_are_uploaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loggers.wandb")
    job(tmp_path).log_metrics({"a": 1}, step=1)
    finish_wandb(1)
    job(tmp_path, resume="last.ckpt").log_metrics({"a": 2}, step=2)
    finish_wandb(0)
    parts = find_offline_runs(tmp_path)
    assert [read_offline_run(part).values("a") for part in parts] == [[1], [2]]
    assert len({file.name for part in parts for file in part.glob("run-*.wandb")}) == 1
    assert all(os.path.relpath(part) in said(caplog)[-1][1] for part in parts)


def test_pictures_that_cannot_be_logged_do_not_stop_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = job(tmp_path)
    logger.log_image("val/confusion", [str(tmp_path / "missing.png")])
    logger.log_table("val/classes", columns=["a"], data=[[1, 2]])
    assert len([text for level, text in said(caplog) if level == "WARNING" and "The run goes on" in text]) == 2
