"""Sweeps whose study lies in a PostgreSQL server of our own."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import HANGS
from tests.integration.sweep.conftest import App, finished, kill_and_resume

pytestmark = pytest.mark.slow


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
        output, _ = process.communicate(timeout=HANGS)
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
