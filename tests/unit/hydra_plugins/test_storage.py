"""Addresses of studies: no password leaves, and a study is found again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf

from hydra_plugins.optuna_sweeper import _owner
from tests.unit.hydra_plugins.conftest import Sweeps
from trashlite.errors import UserError
from trashlite.sweeps.storage import (
    check_no_password,
    load_study,
    open_storage,
    study_url,
    without_password,
    write_sweep,
)


@pytest.mark.parametrize(
    "storage",
    ["postgresql://me:${oc.env:PASSWORD}@host/db", "${oc.env:URL}", "postgresql://me@host:5432/db", "journal:a:b@c",
     "sqlite:///study.db", None],
)  # fmt: skip
def test_addresses_without_a_password(storage: str | None) -> None:
    check_no_password(storage)


def test_a_password_is_cut_out() -> None:
    assert without_password("postgresql://me:s3cret@host:5432/db") == "postgresql://me@host:5432/db"
    assert without_password("postgresql://me@host:5432/db") == "postgresql://me@host:5432/db"
    assert "s3cret" not in without_password("postgresql+psycopg://me:s3cret@host/db?sslmode=require")
    assert "s3cr@t" not in without_password("postgresql://me:s3cr@t@host/db")


def test_the_record_of_a_sweep_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_URL", "postgresql://me:s3cret@host/db")
    config = OmegaConf.create({"hydra": {"sweeper": {"storage": "${oc.env:STUDY_URL}"}}})
    write_sweep(tmp_path, config, study_name="nas")
    text = (tmp_path / "sweep.json").read_text()
    assert "s3cret" not in text
    assert json.loads(text) == {
        "study_name": "nas",
        "storage": "postgresql://me@host/db",
        "storage_setting": "${oc.env:STUDY_URL}",
    }


def test_a_study_is_found_after_its_folder_moved(sweeps: Sweeps, tmp_path: Path) -> None:
    sweeps.run(lambda job: 1.0, n_trials=2, storage=None)
    moved = sweeps.folder.rename(tmp_path / "moved")
    study = load_study(moved)
    assert study is not None
    assert len(study.trials) == 2


def test_a_folder_without_a_sweep_has_no_study(tmp_path: Path) -> None:
    assert load_study(tmp_path) is None


def test_an_unknown_or_unreachable_storage_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trashlite.sweeps.storage.time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"mysql://me@host/db: choose sqlite.*postgresql.*journal"):
        open_storage("mysql://me:pw@host/db")
    with pytest.raises(UserError, match="cannot be reached"):
        open_storage("sqlite:////nowhere/at/all/study.db")


def test_the_default_lies_in_the_folder(tmp_path: Path) -> None:
    storage = open_storage(study_url(None, tmp_path))
    optuna.create_study(storage=storage)
    assert (tmp_path / "study.db").is_file()


def test_this_process_lives_and_another_with_its_id_does_not() -> None:
    owner = _owner.this_process()
    assert _owner.is_alive(owner)
    assert not _owner.is_alive({**owner, "started": "1"})
    process = subprocess.Popen([sys.executable, "-c", ""])
    process_owner = {**owner, "pid": process.pid, "started": _owner.start_time(process.pid)}
    process.wait()
    assert not _owner.is_alive(process_owner)
    assert _owner.start_time(os.getpid()) == owner["started"]


def test_the_start_imports_neither_optuna_nor_torch() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; from hydra.plugins.sweeper import Sweeper; "
        "names = [plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)]; "
        "assert 'OptunaSweeper' in names, names; assert not {'optuna', 'torch', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=60)
