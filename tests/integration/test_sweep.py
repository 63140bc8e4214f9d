"""Sweeps from the shell: killed, shared by processes, through every launcher, and with real training."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.harness import MUTE, PROJECT, QUICK
from tests.wandb_reader import find_offline_runs, read_offline_run
from trashlite.sweeps.storage import load_study

APP = PROJECT / "tests/sweep_app/app.py"


@dataclass
class App:
    """The program of milliseconds, swept in `cwd/sweep`."""

    cwd: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, str(APP), "-m", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.cwd, env=self.environment, start_new_session=True, **pipes)

    def run(self, *arguments: str, code: int = 0, timeout: float = 120) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == code, output
        return output

    @property
    def folder(self) -> Path:
        return self.cwd / "sweep"

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        study = load_study(self.folder)
        assert study is not None
        return study.trials

    def calls(self) -> list[str]:
        """The folders of the jobs that began, in order."""
        path = self.folder / "calls.txt"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_calls(self, count: int, processes: Sequence[subprocess.Popen]) -> None:
        """Wait until so many jobs have begun, as long as one of the processes lives."""
        while len(self.calls()) < count:
            ended = [process.communicate()[0] for process in processes if process.poll() is not None]
            assert len(ended) < len(processes), ended
            time.sleep(0.01)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(PROJECT), str(APP.parent)])
    return App(tmp_path, {**os.environ, "PROJECT": str(PROJECT), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})


def finished(trials: Sequence[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def test_a_sweep_ends_with_its_trials_and_goes_on_when_asked_for_more(app: App) -> None:
    output = app.run("hydra.sweeper.n_trials=3", "kind=choice(a,b)", "seed=5")
    assert "3 of 3 trials are finished" in output
    assert app.calls() == ["0", "1", "2"]
    app.run(
        "hydra.sweeper.n_trials=4",
        "kind=choice(a,b)",
        "seed=5",
        "hydra.sweeper.promote=1",
        "hydra.sweeper.promote_overrides=['x=1.5']",
    )
    best = min(app.trials, key=lambda trial: trial.value)
    assert app.calls() == ["0", "1", "2", "3", f"promoted_{best.number}"]
    record = json.loads((app.folder / f"promoted_{best.number}" / "run.json").read_text())
    assert record["trial"] == {"study": "optuna", "promoted_from": best.number, "params": best.params}
    assert record["objective"] == [2.25]


def test_failures_are_told_by_exit_code_and_message(app: App) -> None:
    output = app.run("fail_above=-3", "hydra.sweeper.max_retries=0", "hydra.sweeper.max_failure_rate=0.1", code=1)
    assert "2 trials failed, more than hydra.sweeper.max_failure_rate=0.1 of 10 allows; 0 are finished" in output
    assert "Traceback" not in output


def test_a_setting_that_does_not_exist_ends_the_sweep_at_once(app: App) -> None:
    output = app.run("kind_of=choice(a,b)", code=1)
    assert "kind_of" in output
    assert [trial.state for trial in app.trials] == [TrialState.FAIL]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stop_ends_cleanly(app: App, how: signal.Signals, code: int) -> None:
    process = app.start("hold=1", "hydra.sweeper.n_trials=100")
    app.wait_for_calls(2, [process])
    os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code
    assert "The same command goes on" in output
    assert "Traceback" not in output
    assert TrialState.RUNNING not in [trial.state for trial in app.trials]


def kill_and_resume(app: App, processes: int, *arguments: str, seed: int) -> None:
    """Kill one of the processes at five random moments, start it again each time, then let all end.

    Whatever was lost, the study must end with its number of finished trials, no folder used twice, and every
    interrupted point tried again.
    """
    rng = random.Random(seed)
    n_trials = 20 * processes
    given = ["sleep=0.05", f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.max_retries=10", *arguments]
    running = [app.start(*given) for _ in range(processes)]
    for _ in range(5):
        victim = rng.randrange(processes)
        # Counted in trials, not in seconds: the fifth kill comes before the last trial on any machine.
        app.wait_for_calls(len(app.calls()) + rng.randint(1, 3), running)
        time.sleep(rng.uniform(0, 0.05))
        os.killpg(running[victim].pid, signal.SIGKILL)
        running[victim].communicate()
        running[victim] = app.start(*given)
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    trials = app.trials
    assert len(finished(trials)) == n_trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING}
    calls = app.calls()
    assert len(calls) == len(set(calls))
    completed = {trial.params["x"] for trial in finished(trials)}
    assert {trial.params["x"] for trial in trials if trial.state == TrialState.FAIL and trial.params} <= completed
    assert len(completed) == n_trials
    for trial in finished(trials):
        record = json.loads((app.folder / str(trial.number) / "run.json").read_text())
        assert record["objective"] == trial.values


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_sweep_survives_kills(app: App, seed: int) -> None:
    kill_and_resume(app, 1, seed=seed)


@pytest.mark.slow
def test_two_processes_share_a_journal_and_survive_kills(app: App) -> None:
    kill_and_resume(app, 2, "hydra.sweeper.storage=journal:sweep/journal.log", seed=3)


@pytest.mark.slow
def test_two_hosts_share_a_study(app: App, tmp_path: Path) -> None:
    """Machines of other names in one folder: each leaves the other's trials alone from their first second."""
    (tmp_path / "names").mkdir()
    fake = "import os, socket\nsocket.gethostname = lambda: os.environ['FAKE_HOST']\n"
    (tmp_path / "names" / "sitecustomize.py").write_text(fake)
    app.environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path / 'names'}"
    running = []
    for host in ("one", "two"):
        app.environment["FAKE_HOST"] = host
        running.append(app.start("hydra.sweeper.n_trials=8", "+wait_for=go", "hydra.sweeper.max_failure_rate=0"))
    app.wait_for_calls(2, running)  # each has one, that the other sees run
    (app.folder / "go").touch()
    for process in running:
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
    assert [trial.state for trial in app.trials] == [TrialState.COMPLETE] * 8
    assert {trial.user_attrs["owner"]["host"].split()[0] for trial in app.trials} == {"one", "two"}
    assert len(set(app.calls())) == len(app.calls()) == 8


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_its_own_trials(app: App) -> None:
    """As the system's OOM killer does it: the second trial kills its process once it has begun."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -r requirements-cluster.txt")
    output = app.run(
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.sweeper.n_jobs=2",
        "kill_once=1",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.max_failure_rate=0",
        timeout=300,
    )
    assert "A worker died" in output
    assert "Traceback" not in output
    trials = app.trials
    assert len(finished(trials)) == 6
    assert trials[1].state == TrialState.FAIL
    assert any(trial.params == trials[1].params for trial in finished(trials))
    assert len(set(app.calls())) == len(app.calls())


@pytest.mark.slow
def test_jobs_that_outlive_their_sweeper_are_not_run_twice(app: App) -> None:
    """Jobs of joblib wait for a file; only the sweeper is killed, then the command is given again."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -r requirements-cluster.txt")
    given = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4")
    first = app.start(*given, "+wait_for=go", "hydra.sweeper.study_name=s")
    app.wait_for_calls(2, [first])
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = app.start(*given, "+wait_for=go", "hydra.sweeper.study_name=s")
    app.wait_for_calls(4, [second])  # it begins the two trials that nobody has begun
    (app.folder / "go").touch()
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert sorted(app.calls()) == ["0", "1", "2", "3"]
    assert [trial.state for trial in app.trials] == [TrialState.COMPLETE] * 4


@dataclass
class Postgres:
    """A server of our own; `password` is that of its user `robot`."""

    port: int
    password: str
    control: list[str]
    """The command that starts and stops it, without its last word."""
    options: list[str]

    def do(self, *words: str) -> None:
        subprocess.run([*self.control, *words], check=True, cwd="/", capture_output=True)

    @property
    def url(self) -> str:
        return f"postgresql://robot@127.0.0.1:{self.port}/postgres"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL from Debian's package (apt-get install postgresql), as docs/sweeps.md starts it, with a password."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql, or `make test-full` as root)")
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install -r requirements-cluster.txt)")
    # Not in pytest's folder: each pytest that starts on this machine closes that one to other users.
    base = Path(tempfile.mkdtemp(prefix="postgres-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(base, "postgres")
    password = "Sec/r3t-word"  # with a character that divides an address
    (base / "password").write_text(password)
    if as_user:
        shutil.chown(base / "password", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    create = [initdb, "-D", str(base / "data"), "-U", "robot", "--auth=scram-sha-256", f"--pwfile={base / 'password'}"]
    control = [*as_user, str(Path(initdb).with_name("pg_ctl")), "-D", str(base / "data"), "-w"]
    options = ["-o", f"-p {port} -k {base} -c listen_addresses=127.0.0.1", "-l", str(base / "log")]
    subprocess.run([*as_user, *create, "-N"], check=True, cwd=base, capture_output=True)
    server = Postgres(port, password, control, options)
    server.do(*options, "start")
    yield server
    server.do("-m", "immediate", "stop")
    shutil.rmtree(base)


@pytest.mark.slow
def test_two_processes_share_a_postgresql_study_and_survive_kills(app: App, postgres: Postgres, tmp_path: Path) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{postgres.port}:postgres:robot:{postgres.password}\n")
    passwords.chmod(0o600)
    app.environment["PGPASSFILE"] = str(passwords)
    os.environ["PGPASSFILE"] = str(passwords)
    try:
        kill_and_resume(app, 2, f"hydra.sweeper.storage={postgres.url}", seed=4)
    finally:
        del os.environ["PGPASSFILE"]


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_is_waited_for(app: App, postgres: Postgres, tmp_path: Path) -> None:
    """It stops in the middle of a trial of each process, and comes back when both have told that it is away."""
    app.environment["PGPASSWORD"] = postgres.password
    given = (
        f"hydra.sweeper.storage={postgres.url}",
        "hydra.sweeper.study_name=away",
        "hydra.sweeper.n_trials=12",
        "+wait_for=go",
        "hydra.sweeper.max_failure_rate=0",
    )
    running = [app.start(*given) for _ in range(2)]
    app.wait_for_calls(2, running)
    postgres.do("-m", "fast", "stop")
    (app.folder / "go").touch()  # both have a result to tell, and nobody to tell it to
    told = []
    for process in running:
        assert process.stdout is not None
        told.append(next(line for line in process.stdout if "is away" in line))
    postgres.do(*postgres.options, "start")
    for process, line in zip(running, told, strict=True):
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output
        assert "answers again" in output
        assert "is away" not in output  # it was told once
        assert "Traceback" not in output
        assert postgres.password not in output + line
    os.environ["PGPASSWORD"] = postgres.password
    try:
        assert len(finished(app.trials)) == 12
    finally:
        del os.environ["PGPASSWORD"]


@pytest.mark.slow
def test_a_password_in_the_environment_stays_there(
    app: App, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url.replace("robot@", f"robot:{postgres.password}@")
    app.environment["STUDY_URL"] = url
    arguments = (
        "hydra.sweeper.storage=${oc.env:STUDY_URL}",
        "hydra.sweeper.study_name=env",
        "hydra.sweeper.n_trials=2",
    )
    output = app.run(*arguments, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    assert postgres.password not in output
    assert any("sweep.json" in path.name for path in app.folder.rglob("*"))
    refused = app.run(f"hydra.sweeper.storage='{url}'", "hydra.sweeper.study_name=env", code=1)
    assert "holds a password" in refused
    assert postgres.password not in refused
    files = [path for path in app.cwd.rglob("*") if path.is_file()]
    assert [path for path in files if postgres.password in path.read_text(errors="replace")] == []
    monkeypatch.setenv("STUDY_URL", url)
    assert len(finished(app.trials)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_launchers_run_batches(app: App, launcher: str) -> None:
    module = {
        "joblib": "hydra_joblib_launcher",
        "ray": "hydra_ray_launcher",
        "submitit_local": "hydra_submitit_launcher",
    }
    pytest.importorskip(f"hydra_plugins.{module[launcher]}", reason="pip install -r requirements-cluster.txt")
    given = {
        "joblib": ["hydra.launcher.n_jobs=2"],
        "ray": ["+hydra.launcher.ray.init.num_cpus=2"],
        "submitit_local": [],
    }
    app.run(
        f"hydra/launcher={launcher}",
        *given[launcher],
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.n_trials=5",
        "prune_above=0.5",
        "fail_above=1.9",
        "hydra.sweeper.max_failure_rate=1",
        timeout=300,
    )
    trials = app.trials
    assert len(finished(trials)) == 5
    assert {trial.state for trial in trials} >= {TrialState.COMPLETE, TrialState.PRUNED}
    assert sorted(app.calls(), key=int) == [str(trial.number) for trial in trials]


class TestTraining:
    """Sweeps over the real program."""

    @pytest.fixture
    def settings(self, tiny_root: Path) -> list[str]:
        return [
            "-m",
            "hydra/sweeper=optuna",
            "datamodule=trash",
            f"datamodule.root={tiny_root}",
            *QUICK,
            "trainer.max_epochs=2",
            "test=false",
            "predict=false",
            "callbacks.media=null",
            "hydra.sweeper.study_name=s",
        ]

    def records(self, tmp_path: Path) -> list[dict[str, Any]]:
        folders = sorted((tmp_path / "logs/sweeps/s").glob("[0-9]*"), key=lambda folder: int(folder.name))
        return [json.loads((folder / "run.json").read_text()) for folder in folders]

    @pytest.mark.slow
    def test_a_network_over_its_budget_is_pruned_before_data_are_opened(
        self, shell: Callable[..., subprocess.CompletedProcess], settings: list[str], tmp_path: Path
    ) -> None:
        sampler = "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler"
        result = shell(*settings, sampler, "image_size=[64,64],[32,32],[80,80]", "max_macs=9e5", timeout=300)
        assert result.returncode == 0, result.stderr
        records = self.records(tmp_path)
        by_size = {str(record["trial"]["params"]["image_size"]): record for record in records}
        assert {size: record["state"] for size, record in by_size.items()} == {
            "[64,64]": "pruned",
            "[32,32]": "completed",
            "[80,80]": "pruned",
        }
        assert by_size["[64,64]"]["model/macs"] > 9e5
        assert "max_macs=900,000" in by_size["[64,64]"]["reason"]
        for size in ("64x64", "80x80"):
            assert not [path for path in (tmp_path / "data/cache").rglob("*") if size in path.name]
        assert [path.name for path in (tmp_path / "data/cache").rglob("*.npy")] != []
        study = load_study(tmp_path / "logs/sweeps/s")
        assert study is not None
        jobs = (tmp_path / "logs/sweeps/s").glob("[0-9]*")  # the report's own run lies beside them
        [run] = [run for job in jobs for run in find_offline_runs(job)]
        done = by_size["[32,32]"]
        kept = read_offline_run(run)
        assert kept.config["trial"] == {
            "study": "s",
            "number": done["trial"]["number"],
            "params": {"image_size": "[32,32]"},
        }
        assert study.trials[done["trial"]["number"]].user_attrs["wandb_id"] == done["wandb_id"]
        assert done["wandb_id"] in run.name
        assert kept.group == "s"
        assert kept.exit_code == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("launcher", ["basic", "joblib", "ray"])
    def test_a_hopeless_trial_is_pruned_from_its_own_process(
        self, shell: Callable[..., subprocess.CompletedProcess], settings: list[str], tmp_path: Path, launcher: str
    ) -> None:
        if launcher != "basic":
            pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher", reason="requirements-cluster.txt")
        settings += [*MUTE, f"hydra/launcher={launcher}"]
        settings += ["+hydra.launcher.ray.init.num_cpus=2"] if launcher == "ray" else []
        pruner = "hydra.sweeper.pruner={_target_:optuna.pruners.ThresholdPruner,lower:0.99,n_warmup_steps:1}"
        result = shell(
            *settings,
            "optimizer.lr=interval(1e-4,1e-3)",
            "objective=[val/f1]",
            "hydra.sweeper.directions=[maximize]",
            pruner,
            "hydra.sweeper.n_trials=2",
            "hydra.sweeper.n_jobs=2",
            "trainer.max_epochs=5",
            timeout=400,
        )
        assert result.returncode == 0, result.stderr
        study = load_study(tmp_path / "logs/sweeps/s")
        assert study is not None
        for trial, record in zip(study.trials, self.records(tmp_path), strict=True):
            assert trial.state == TrialState.PRUNED
            assert list(trial.intermediate_values) == [0, 1]
            assert record["state"] == "pruned"
            assert record["val/f1"] == pytest.approx(trial.intermediate_values[1])
