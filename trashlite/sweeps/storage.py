"""Storage of a study: SQLite in the sweep's folder, PostgreSQL, or a journal; and the way to find it again."""

from __future__ import annotations

import functools
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trashlite.errors import UserError
from trashlite.files import write_text

if TYPE_CHECKING:  # Hydra imports this module at every start, Optuna takes a second
    from optuna import Study
    from optuna.storages import BaseStorage
    from sqlalchemy.engine import URL

RECORD = "sweep.json"
JOURNAL, SQLITE = "journal:", "sqlite:///"
LOCK_TIMEOUT = 60  # seconds that a writer waits for the others of an SQLite file
SECRETS = ("password", "passfile", "sslpassword")  # settings of an address that belong to nobody else
INTERPOLATION = re.compile(r"\$\{[^{}]*\}")
WHERE_PASSWORDS_GO = (
    "Let an environment variable hold the whole address, hydra.sweeper.storage='${oc.env:STUDY_URL}', or leave the "
    "password out and put it into ~/.pgpass (or PGPASSWORD, PGPASSFILE): this way no saved configuration and no log "
    "shows it."
)


def study_url(storage: str | None, folder: Path) -> str:
    """The address of a sweep's study; None: a file in the sweep's folder."""
    return storage or f"sqlite:///{folder.resolve() / 'study.db'}"


def check_no_password(setting: str | None) -> None:
    """Refuse an address, not yet resolved, that spells a password out: Hydra saves it beside every job.

    Raises:
        UserError: there is a password in it, or the path of a file with one.
    """
    spelled = setting or ""
    while INTERPOLATION.search(spelled):  # from the inside out: one may stand in another
        spelled = INTERPOLATION.sub("", spelled)
    parts = _parse(spelled)
    names = {item.partition("=")[0].lower() for item in re.split("[?&]", spelled)[1:]}
    if names & set(SECRETS) or (parts and (parts.password or "@" in (parts.host or ""))):
        raise UserError(f"hydra.sweeper.storage={without_password(spelled)} holds a password. {WHERE_PASSWORDS_GO}")


def without_password(url: str) -> str:
    """The address for people and records: password, and settings in it that hold or name one, are cut out."""
    if url.startswith((JOURNAL, "sqlite:")):
        return url
    parts = _parse(url)
    if parts is None:
        return f"{url.partition('://')[0]}://…" if "://" in url else "…"
    host = str(parts.host or "").rpartition("@")[2]  # an @ in a password that is not written as %40
    query = {key: value for key, value in parts.query.items() if key.lower() not in SECRETS}
    shown = parts.create(parts.drivername, parts.username, None, host or None, parts.port, parts.database, query)
    return shown.render_as_string()


def _parse(url: str) -> URL | None:
    """The parts of the address of a data base; None: it is none."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return None if url.startswith((JOURNAL, "sqlite:")) else make_url(url)
    except (ArgumentError, ValueError):
        return None


def _file_of(url: str) -> Path | None:
    """The file of a study; None: it has none, but a server."""
    kind = next((kind for kind in (JOURNAL, SQLITE) if url.startswith(kind) and url != kind), None)
    return Path(url.removeprefix(kind)).expanduser() if kind else None


def is_missing(url: str) -> bool:
    """Whether the study is to lie in a file that is not there."""
    path = _file_of(url)
    return path is not None and not path.is_file()


def open_storage(url: str) -> BaseStorage:
    """Connect, and make the tables of a new data base; two processes may do so at once.

    Raises:
        UserError: nothing to connect to, or a kind of storage that is not known.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

    from trashlite.sweeps.patience import PatientStorage

    path, kind, name = _file_of(url), url.partition(":")[0], without_password(url)
    if path is None and kind not in ("postgresql", "postgresql+psycopg"):
        raise UserError(
            f"hydra.sweeper.storage={name}: choose sqlite:///PATH, postgresql://USER@HOST/NAME or journal:PATH."
        )
    if path is not None and kind == "journal":
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            backend = JournalFileBackend(str(path), lock_obj=_journal_lock(path))
            return optuna.storages.JournalStorage(backend)
        except (OSError, ValueError, KeyError) as error:  # a folder, or a file with something else in it
            raise UserError(f"The study's storage {url} cannot be used: {error!r}") from error
    for attempt in range(5):
        try:
            if path is not None:
                creator = functools.partial(_connect_sqlite, path)
                return optuna.storages.RDBStorage(url, engine_kwargs={"creator": creator})
            driver = url.replace("postgresql://", "postgresql+psycopg://", 1)
            return PatientStorage(driver, name, {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}})
        except ImportError as error:
            raise UserError("PostgreSQL needs psycopg: pip install -r requirements-cluster.txt") from error
        except ArgumentError as error:
            raise UserError(f"hydra.sweeper.storage={name} is no address of a data base.") from error
        except RuntimeError as error:  # tables of another version of Optuna
            raise UserError(f"The study's storage {name} cannot be used: {error}") from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, AssertionError) as error:
            # Two processes that make the tables at once disturb each other, and then find them made.
            if attempt == 4:
                reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
                what = "cannot be reached" if isinstance(error, OperationalError) else "cannot be used"
                raise UserError(f"The study's storage {name} {what}: {reason}") from error
            time.sleep(0.2 + random.random() * 0.3)
    raise AssertionError("unreachable")


def _connect_sqlite(path: Path) -> Any:
    """Let SQLite append to a log: a commit then waits for no disk, readers and a writer do not lock each other.

    A killed process loses nothing; a power cut may take the last commits, never the file.
    """
    import sqlite3

    connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _journal_lock(path: Path) -> Any:
    """A lock that the system frees when its holder is killed; Optuna's own makes others wait for half a minute."""
    from filelock import FileLock

    class Lock:
        def __init__(self) -> None:
            self.lock = FileLock(f"{path}.lock")

        def acquire(self) -> bool:
            self.lock.acquire()
            return True

        def release(self) -> None:
            self.lock.release()

    return Lock()


def create_study(storage: BaseStorage, name: str, directions: Sequence[str], pruner: Any) -> Study:
    """Make the study, or go on with the one of this name.

    Raises:
        UserError: there is one with other directions.
    """
    import optuna

    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=directions,  # type: ignore[arg-type]
        pruner=pruner,
        load_if_exists=True,
    )
    found = [direction.name.lower() for direction in study.directions]
    if found != list(directions):
        raise UserError(
            f"The study {name!r} is there already, with directions={found}, but this sweep has {list(directions)}. "
            "Begin another with hydra.sweeper.study_name=NAME."
        )
    return study


def write_sweep(folder: Path, setting: str | None, storage: str | None, **facts: Any) -> None:
    """Leave `sweep.json`, which tells a reader what the sweep was and `load_study` where its study lies.

    Args:
        setting: `storage` as it was set, not resolved: a variable may hold the address.
    """
    record = {**facts, "storage": without_password(study_url(storage, folder)), "storage_setting": setting}
    write_text(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=2))


def load_study(folder: Path, pruner: Any = None) -> Study | None:
    """The study of a sweep's folder, which may have been moved; None where no Optuna sweep ran.

    Args:
        pruner: of Optuna, for a process that reports how a trial goes.

    Raises:
        UserError: its data base cannot be reached, or its file is gone.
    """
    import optuna
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    try:
        setting = OmegaConf.create({"storage": record["storage_setting"]}).storage
    except InterpolationResolutionError:  # the variable with the address is not set here: .pgpass may do
        setting = record["storage"]
    url = study_url(setting, Path(folder))
    if is_missing(url):
        raise UserError(f"There is no {without_password(url)}, where the study was.")
    storage = open_storage(url)
    try:
        return optuna.load_study(study_name=record["study_name"], storage=storage, pruner=pruner)
    except KeyError:
        return None
