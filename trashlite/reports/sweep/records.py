"""What the jobs of a sweep, or of any folder of runs, left on disk."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

from trashlite.sweeps.jobs import RECORD

HYDRA, RESUMED = ".hydra", ".hydra_resumed"
DEPTH = 3  # logs/multiruns/<time>/<job>
STATES = ("completed", "pruned", "failed", "unfinished")
REMOVED = "(removed)"  # the value of a key that `~key` took away


@dataclass(frozen=True)
class Job:
    """One run. Figures it did not measure are None."""

    name: str
    """Its folder, relative to the one that was read."""
    folder: Path
    state: str
    reason: str = ""
    """Why it is not completed."""
    overrides: tuple[str, ...] = ()
    """Those of the command line, in Hydra's grammar, with what a resume changed."""
    f1: float | None = None
    macs: float | None = None
    params: float | None = None
    score: float | None = None
    minutes: float | None = None
    checkpoint: str = ""
    wandb_id: str = ""
    study: str = ""
    trial: int | None = None
    promoted_from: str = ""
    """The job whose settings it trains in full."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The overrides as key and plain value; the last one of a key counts."""
    trial_params: dict[str, Any] = field(default_factory=dict)
    """What an Optuna trial chose, under the names of its search space."""


def read_jobs(folder: Path) -> list[Job]:
    """Return the jobs under a folder, or the run that it is, in the order of their names (numbers as numbers).

    A job whose record is missing or broken is unfinished: it hides no other.
    """
    jobs = [read_job(path, path.relative_to(folder)) for path in find_jobs(folder, DEPTH)]
    return sorted(jobs, key=lambda job: job_order(job.name))


def find_jobs(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RECORD).is_file() or any((folder / name).is_dir() for name in (HYDRA, RESUMED)):
        yield folder
    elif depth:
        try:
            below = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        except OSError:  # of somebody else
            return
        for path in below:
            yield from find_jobs(path, depth - 1)


def job_order(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (sys.maxsize, part) for part in Path(name).parts]


def read_job(folder: Path, name: Path) -> Job:
    record, problem = read_record(folder)
    state = record.get("state")
    if state not in STATES:
        state, problem = "unfinished", problem or "stopped before its end"
    overrides = read_overrides(folder) or texts(record.get("overrides"))
    trial = record["trial"] if isinstance(record.get("trial"), dict) else {}
    number, origin = trial.get("number"), trial.get("promoted_from")
    reason = "" if state == "completed" else str(record.get("error") or record.get("reason") or problem)
    return Job(
        name=folder.name if name == Path() else str(name),
        folder=folder,
        state=state,
        reason=reason,
        overrides=tuple(overrides),
        f1=figure(record, "val/f1"),
        macs=figure(record, "model/macs"),
        params=figure(record, "model/params"),
        score=figure(record, "val/score"),
        minutes=figure(record, "minutes"),
        checkpoint=str(record.get("checkpoint") or ""),
        wandb_id=find_wandb_id(record, folder),
        study=str(trial.get("study") or ""),
        trial=number if isinstance(number, int) else None,
        promoted_from="" if origin is None else str(origin),
        settings=dict(parse_override(text) for text in overrides),
        trial_params=trial["params"] if isinstance(trial.get("params"), dict) else {},
    )


def read_record(folder: Path) -> tuple[dict[str, Any], str]:
    """The record of a job, and what is wrong with it."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"{RECORD} cannot be read: {error}"
    return (record, "") if isinstance(record, dict) else ({}, f"{RECORD} holds no record")


def read_overrides(folder: Path, parts: Sequence[str] = (HYDRA, RESUMED)) -> list[str]:
    """The overrides a run began with, then those it was resumed with; `resume=` itself is none of its settings."""
    found = [text for part in parts for text in texts(read_yaml(folder / part / "overrides.yaml"))]
    return [text for text in found if not text.startswith("resume=")]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; None where it is missing or broken."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def read_choices(job: Job) -> dict[str, str | None]:
    """Config group -> option that a job was composed of."""
    content = read_yaml(job.folder / HYDRA / "hydra.yaml")
    try:
        return dict(content["hydra"]["runtime"]["choices"])
    except (KeyError, TypeError, ValueError):
        return {}


def find_wandb_id(record: dict[str, Any], folder: Path) -> str:
    """The id of the record, else at the end of the run's address or folder, else from the files W&B left."""
    if record.get("wandb_id"):
        return str(record["wandb_id"])
    place = str(record.get("wandb") or "")
    if not place:
        runs = sorted(folder.glob("wandb/*run-*-*"))
        place = runs[-1].name if runs else ""
    return place.rstrip("/").rpartition("/")[2].rpartition("-")[2]


def figure(record: dict[str, Any], name: str) -> float | None:
    value = record.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


@cache
def parse_override(text: str) -> tuple[str, Any]:
    """Key and plain value of `key=value`, `+key=value`, `++key=value`, `~key`, `group@package=option`."""
    try:
        override = _parser().parse_override(text)
    except HydraException:
        key, _, value = text.lstrip("+~").partition("=")
        return key, value
    key = override.key_or_group + (f"@{override.package}" if override.package is not None else "")
    return key, REMOVED if override.is_delete() else plain(override.value())


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def plain(value: Any) -> Any:
    """Hydra's own value types as Python's."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def varied_keys(jobs: list[Job]) -> list[str]:
    """The keys that not all jobs set to the same value, in the order in which they first appear."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    return [key for key in keys if any(repr(job.settings.get(key, REMOVED)) != repr(jobs[0].settings.get(key, REMOVED))
                                       for job in jobs)]  # fmt: skip
