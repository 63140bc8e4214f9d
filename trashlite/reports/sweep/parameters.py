"""Parameters that a sweep varied, and the importance of each.

From the Optuna study where there is one; a basic sweep is treated as if its overrides had been suggested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trashlite.reports.sweep.records import Job
from trashlite.reports.sweep.table import text
from trashlite.sweeps.importance import Space, importances

FEWEST_JOBS = 4  # completed ones from which an importance is estimated
FEW_VALUES = 8
LOG_RATIO = 30  # positive numbers that span more than this are looked at on a logarithmic scale


@dataclass(frozen=True)
class Parameter:
    """One varied setting, and the values that occur."""

    name: str
    values: list[Any]
    """In ascending order where they are numbers, else in the order in which they appeared; at least two."""
    is_number: bool
    is_log: bool = False


@dataclass(frozen=True)
class Parameters:
    """Parameters that the jobs varied.

    `chosen[i]` holds the values of `jobs[i]`, numbers or strings; conditional parameters may be absent.
    """

    jobs: list[Job]
    parameters: list[Parameter]
    chosen: list[dict[str, Any]]

    @classmethod
    def of(cls, jobs: Sequence[Job], study: Any) -> Parameters:
        """Of all jobs but promoted ones, which train a trial's settings once more.

        Args:
            study: of Optuna; None without one.
        """
        own = [job for job in jobs if not job.promoted_from]
        trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)} if study else {}
        if any(job.trial is not None for job in own):
            stored = {number: trial.params for number, trial in trials.items()}
            chosen = [dict(job.trial_params or stored.get(-1 if job.trial is None else job.trial, {})) for job in own]
        else:
            chosen = [dict(job.settings) for job in own]
        log = {name for trial in trials.values() for name, space in trial.distributions.items() if is_log(space)}
        parameters = []
        for name in dict.fromkeys(name for values in chosen for name in values):
            holders = [values for values in chosen if name in values]
            if not all(is_number(values[name]) for values in holders):
                for values in holders:
                    values[name] = text(values[name])
            parameters.append(describe(name, [values[name] for values in holders], name in log))
        return cls(own, [parameter for parameter in parameters if len(parameter.values) > 1], chosen)

    def importances(self, cost: Callable[[Job], float | None]) -> dict[str, float]:
        """The share of each parameter in reaching a low cost, largest first.

        Empty where fewer than `FEWEST_JOBS` completed jobs have a cost, or most have the same.
        """
        # A density over the gaps between a few numbers would call them all important.
        spaces: dict[str, Space] = {
            parameter.name: (parameter.values[0], parameter.values[-1], parameter.is_log)
            if parameter.is_number and len(parameter.values) > FEW_VALUES
            else parameter.values
            for parameter in self.parameters
        }
        points = [
            (values, value)
            for job, values in zip(self.jobs, self.chosen, strict=True)
            if job.state == "completed" and (value := cost(job)) is not None
        ]
        return importances(spaces, points) if len(points) >= FEWEST_JOBS else {}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_log(distribution: Any) -> bool:
    return bool(getattr(distribution, "log", False))


def describe(name: str, values: list[Any], log: bool) -> Parameter:
    """The parameter of these values, which are all numbers or all strings."""
    if isinstance(values[0], str):
        return Parameter(name, list(dict.fromkeys(values)), is_number=False)
    ordered = sorted(set(values))
    wide = ordered[0] > 0 and (log or ordered[-1] / ordered[0] > LOG_RATIO)
    return Parameter(name, ordered, is_number=True, is_log=wide)
