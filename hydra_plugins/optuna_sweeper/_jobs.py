"""Jobs of a sweep: overrides in, an outcome from the return value and the record out."""

import math
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from optuna import TrialPruned

from hydra_plugins.optuna_sweeper._trials import MISTAKE, Outcome
from trashlite.errors import Pruned
from trashlite.overrides import parse_override, to_override
from trashlite.reports.run_record import write_record
from trashlite.reports.sweep.records import figure
from trashlite.sweeps.jobs import RECORD, read_record

STOPPED = "stopped before its end"
QUIET = "hydra.job_logging.handlers.console.level"


def job_overrides(settings: list[str], folder: str, trial: dict[str, Any], config: DictConfig) -> list[str]:
    """The overrides of one job: settings, the later going before the earlier, its folder, and whose job it is."""
    last = {parse_override(setting)[0]: setting for setting in settings}
    quiet = "number" in trial and OmegaConf.select(config, QUIET.removesuffix(".level")) is not None
    more = [f"++{QUIET}=WARNING"] if quiet else []  # the search has a line for each trial
    return [*last.values(), *more, f"hydra.sweep.subdir={folder}", to_override("hydra.sweeper.trial", trial)]


def job_outcome(job: JobReturn, record: dict[str, Any], n_objectives: int, ceilings: dict[str, float]) -> Outcome:
    """End of a job, from the launcher's result."""
    value = job._return_value  # `return_value` would raise, and print a line for each job
    links = {"wandb_id": record["wandb_id"]} if record.get("wandb_id") else {}
    if job.status != JobStatus.COMPLETED:
        if isinstance(value, Pruned | TrialPruned):
            return Outcome("pruned", error=str(value), constraints=broken_by(record, ceilings), links=links)
        is_mistake = isinstance(value, CompactHydraException)  # as run.py tells a user's
        return failure(f"{value or type(value).__name__}", is_mistake, links)
    outcome = Outcome("complete", as_list(value), constraints=broken_by(record, ceilings), links=links)
    return check(outcome, n_objectives, ceilings, record)


def recorded_outcome(folder: Path, n_objectives: int, ceilings: dict[str, float]) -> Outcome:
    """End of the job in this folder by its record; "stopped" where there is none."""
    record = read_record(folder)
    constraints = broken_by(record, ceilings)
    match record.get("state"):
        case "completed" if "objective" in record:
            outcome = Outcome("complete", as_list(record["objective"]), constraints=constraints)
            return check(outcome, n_objectives, ceilings, record)
        case "pruned":
            return Outcome("pruned", constraints=constraints)
        case "failed" if record.get("error") != STOPPED:
            return failure(record.get("error", ""), is_mistake="traceback" not in record)
    return Outcome("stopped", error=STOPPED)


def failure(error: str, is_mistake: bool, links: dict[str, Any] | None = None) -> Outcome:
    """A mistake in the settings would be one again."""
    noted = {MISTAKE: error} if is_mistake else {}
    return Outcome("failed", error=error, retriable=not is_mistake, links={**(links or {}), **noted})


def record_stop(folder: Path) -> None:
    """Leave a record that the job in this folder was stopped, or that it is not to begin any more."""
    if not (folder / RECORD).exists():
        write_record(folder, {"state": "unfinished", "error": STOPPED})


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def check(outcome: Outcome, n_objectives: int, ceilings: dict[str, float], record: dict[str, Any]) -> Outcome:
    """The outcome, or a failed one where its values are not as many numbers as there are directions, or one is NaN."""

    def failed(error: str) -> Outcome:
        return Outcome("failed", error=error, retriable=False, links=outcome.links)

    numbers = [value for value in outcome.values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != n_objectives or len(numbers) != len(outcome.values):
        return failed(f"the job returned {outcome.values}, but hydra.sweeper.directions are for {n_objectives} numbers")
    if any(math.isnan(value) for value in numbers):
        return failed(f"the objective is {', '.join(map(str, numbers))}")
    if missing := sorted(ceilings.keys() - outcome.constraints.keys()):
        known = ", ".join(sorted(name for name, value in record.items() if "/" in name)) or "none"
        return failed(f"hydra.sweeper.constraints: {', '.join(missing)} is no figure of run.json; choose from {known}")
    return outcome


def broken_by(record: dict[str, Any], ceilings: dict[str, float]) -> dict[str, float]:
    """By how much each figure exceeds its ceiling; figures that were not measured are left out."""
    figures = {name: figure(record, name) for name in ceilings}
    return {name: value - ceilings[name] for name, value in figures.items() if value is not None}
