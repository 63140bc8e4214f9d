"""Records that the jobs of a sweep, or of any folder of runs, left on disk."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from trashlite.overrides import REMOVED, parse_override
from trashlite.sweeps.jobs import RECORD, read_record

HYDRA, RESUMED = ".hydra", ".hydra_resumed"
DEPTH = 3  # logs/multiruns/<time>/<job>
STATES = ("completed", "pruned", "failed", "unfinished")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a hundred configurations are read


@dataclass(frozen=True)
class Job:
    """One run. Figures it did not measure are None."""

    name: str
    """Its folder, relative to the one that was read."""
    folder: Path
    state: str
    reason: str = ""
    """Reason why it is not completed."""
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
    """Choices of an Optuna trial, under the names of its search space."""
    data: str = ""
    """Its data set's folder, of which `read_jobs` makes a name: figures of two data sets cannot be compared."""
    kind: str = "train"
    """The setting `job_type`, or `show_data`."""
    floor: float | None = None
    """The score's, of which F1 below it is not worth more for fewer MACs."""


def read_jobs(folder: Path, ceilings: Mapping[str, float] | None = None) -> list[Job]:
    """Return the jobs under a folder, or the run that it is, in the order of their names (numbers as numbers).

    A job whose record is missing or broken is unfinished: it hides no other.

    Args:
        ceilings: figure -> the constraint of the sweep; a job that exceeds one is pruned for the report.
    """
    jobs = [read_job(path, path.relative_to(folder), ceilings or {}) for path in find_jobs(folder, DEPTH)]
    names = data_names({job.data for job in jobs})
    return sorted((replace(job, data=names[job.data]) for job in jobs), key=lambda job: job_order(job.name))


def data_names(roots: set[str]) -> dict[str, str]:
    """Folder of a data set -> its name: as much of the path's end as tells it from the others.

    A relative folder is the same as an absolute one that ends like it.
    """
    parts = {root: tuple(part for part in Path(root).parts if part not in ("..", "/")) for root in roots}
    wholes = [parts[root] for root in roots if Path(root).is_absolute()]
    names = {}
    for root, tail in parts.items():
        whole = next((one for one in sorted(wholes) if tail and one[-len(tail) :] == tail), tail)
        others = {other for other in parts.values() if other and other != whole[-len(other) :]}
        enough = (n for n in range(1, len(whole)) if all(other[-n:] != whole[-n:] for other in others))
        names[root] = "/".join(whole[-next(enough, len(whole)) :]) if whole else ""
    return names


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


def read_job(folder: Path, name: Path, ceilings: Mapping[str, float]) -> Job:
    record = read_record(folder)
    state, problem = record.get("state"), ""
    if state not in STATES:
        state, problem = "unfinished", "stopped before its end"
    broken = [f"{key} {record[key]:,.6g} > {most:,.6g}" for key, most in ceilings.items() if exceeds(record, key, most)]
    if state == "completed" and broken:
        state, problem = "pruned", f"breaks a constraint: {', '.join(broken)}"
    overrides = read_overrides(folder) or texts(record.get("overrides"))
    trial = record["trial"] if isinstance(record.get("trial"), dict) else {}
    number, origin = trial.get("number"), trial.get("promoted_from")
    reason = "" if state == "completed" else str(record.get("error") or record.get("reason") or problem)
    config = read_yaml(folder / HYDRA / "config.yaml")
    config = config if isinstance(config, dict) else {}
    root = record.get("data") or of(config, "datamodule", "root") or ""
    floor = of(config, "score", "floor")
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
        data=str(root),
        kind="show_data" if config.get("show_data") else str(config.get("job_type") or "train"),
        floor=floor if isinstance(floor, int | float) else None,
    )


def exceeds(record: dict[str, Any], name: str, ceiling: float) -> bool:
    value = figure(record, name)
    return value is not None and value > ceiling


def of(config: dict[str, Any], group: str, key: str) -> Any:
    """A setting that was saved, such as `datamodule.root`; None where there is none."""
    node = config.get(group)
    return node.get(key) if isinstance(node, dict) else None


def read_overrides(folder: Path, parts: Sequence[str] = (HYDRA, RESUMED)) -> list[str]:
    """The overrides a run began with, then those it was resumed with; `resume=` itself is none of its settings."""
    found = [text for part in parts for text in texts(read_yaml(folder / part / "overrides.yaml"))]
    return [text for text in found if not text.startswith("resume=")]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; None where it is missing or broken."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
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
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return value if usable else None


def texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def varied_keys(jobs: list[Job]) -> list[str]:
    """The keys that not all jobs set to the same value, in the order in which they first appear."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    return [
        key
        for key in keys
        if any(repr(job.settings.get(key, REMOVED)) != repr(jobs[0].settings.get(key, REMOVED)) for job in jobs)
    ]
