"""Addresses of studies: no password leaves, and a study is found again."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from trashlite.errors import UserError
from trashlite.sweeps.storage import (
    check_no_password,
    create_study,
    load_study,
    open_storage,
    study_url,
    without_password,
    write_sweep,
)


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://me:${oc.env:PASSWORD}@host/db",
        "${oc.env:URL}",
        "postgresql://me@host:5432/db",
        "journal:a:b@c",
        "sqlite:///study.db",
        None,
    ],
)
def test_addresses_without_a_password(storage: str | None) -> None:
    check_no_password(storage)


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://me:Sec/r3t@host/db",
        "postgresql://me:se?cr3t@host/db",
        "postgresql://host/db?password=s3cret",
        "postgresql://me:p@ss@host/db",
        "postgresql://host/db?sslmode=require&passfile=/home/me/s3cret",
        "${oc.env:URL}?password=s3cret",
        "postgresql://me:${oc.env:HALF}s3cret@host/db",
        "postgresql://host/db?sslpassword=s3cret",
    ],
)
def test_a_password_that_is_spelled_out_is_refused_and_not_repeated(storage: str) -> None:
    with pytest.raises(UserError, match="holds a password") as caught:
        check_no_password(storage)
    told = str(caught.value).partition(" holds")[0]
    assert not any(part in told for part in ("r3t", "cr3t", "s3cret", "ss@"))


def test_a_password_is_cut_out() -> None:
    assert without_password("postgresql://me:s3cret@host:5432/db") == "postgresql://me@host:5432/db"
    assert without_password("postgresql://me@host:5432/db") == "postgresql://me@host:5432/db"
    assert "s3cret" not in without_password("postgresql+psycopg://me:s3cret@host/db?sslmode=require")
    assert without_password("postgresql://me:s3cr@t@host/db") == "postgresql://me@host/db"
    assert without_password("postgresql://me:Sec/r3t@host/db?password=x&sslmode=require&passfile=y") == (
        "postgresql://me@host/db?sslmode=require"
    )
    assert "r3t" not in without_password("s3cr3t, which is no address")


@pytest.mark.parametrize("password", ["s3cret", "Sec/r3t", "p@ss"])
def test_the_record_of_a_sweep_holds_no_password(tmp_path: Path, password: str) -> None:
    write_sweep(
        tmp_path, "${oc.env:STUDY_URL}", f"postgresql://me:{password}@host/db?password={password}", study_name="nas"
    )
    text = (tmp_path / "sweep.json").read_text()
    assert json.loads(text) == {
        "study_name": "nas",
        "storage": "postgresql://me@host/db",
        "storage_setting": "${oc.env:STUDY_URL}",
    }


def test_a_study_is_found_after_its_folder_moved(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    study = create_study(open_storage(study_url(None, folder)), "s", ["minimize"], None)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    write_sweep(folder, None, None, study_name="s")
    found = load_study(folder.rename(tmp_path / "moved"))
    assert found is not None
    assert len(found.trials) == 1


def test_looking_for_a_study_that_was_lost_makes_none(tmp_path: Path) -> None:
    write_sweep(tmp_path, None, None, study_name="s")
    with pytest.raises(UserError, match=r"There is no .*study\.db"):
        load_study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_a_folder_without_a_sweep_has_no_study(tmp_path: Path) -> None:
    assert load_study(tmp_path) is None


def test_an_unknown_or_unreachable_storage_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trashlite.sweeps.storage.time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"mysql://me@host/db: choose sqlite.*postgresql.*journal"):
        open_storage("mysql://me:pw@host/db")
    with pytest.raises(UserError, match="cannot be reached"):
        open_storage("sqlite:////nowhere/at/all/study.db")
    for empty in ("sqlite://", "sqlite:///", "journal:"):
        with pytest.raises(UserError, match="choose sqlite:///PATH"):
            open_storage(empty)


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("# Notes\n" * 50)
    for kind in ("sqlite:///", "journal:"):
        with pytest.raises(UserError, match="notes cannot be used"):
            open_storage(f"{kind}{tmp_path / 'notes'}")
    with pytest.raises(UserError, match="cannot be used"):
        open_storage(f"journal:{tmp_path}")


def test_tables_of_another_version_are_told(tmp_path: Path) -> None:
    open_storage(study_url(None, tmp_path))
    with closing(sqlite3.connect(tmp_path / "study.db")) as tables, tables:
        tables.execute("UPDATE version_info SET schema_version = 99")
        tables.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(UserError, match="cannot be used"):
        open_storage(study_url(None, tmp_path))


def test_the_default_lies_in_the_folder(tmp_path: Path) -> None:
    storage = open_storage(study_url(None, tmp_path))
    optuna.create_study(storage=storage)
    assert (tmp_path / "study.db").is_file()
