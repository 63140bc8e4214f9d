"""Promotion: the best trials of a cheap search run once more, in full."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hydra_plugins.optuna_sweeper._jobs import job_overrides
from hydra_plugins.optuna_sweeper._progress import duration
from hydra_plugins.optuna_sweeper._settings import Settings
from trashlite.overrides import parse_override
from trashlite.sweeps.jobs import read_record

log = logging.getLogger(__name__)

COST = ("trainer.max_epochs", "datamodule.train_fraction")  # a job's minutes are in proportion to their product


class Promotion:
    """The full runs at the end of a search.

    What was typed for the search holds for them too, before the `promote_overrides` of the sweep's file; before
    those that were typed themselves it does not.
    """

    def __init__(self, study: Study, settings: Settings, config: DictConfig, fixed: list[str], folder: Path) -> None:
        self.study, self.settings, self.config, self.folder = study, settings, config, folder
        typed = {parse_override(text)[0]: text for text in fixed} if not settings.promote_is_typed else {}
        given = {parse_override(text)[0]: text for text in settings.promote_overrides}
        self.overrides = [text for key, text in given.items() if key not in typed]
        self.typed = [typed[key] for key in given if key in typed]
        score = config.get("score") or {}
        self.best = best_trials(study, settings.promote, lambda number: self.record(str(number)), score)

    def record(self, name: str) -> dict[str, Any]:
        return read_record(self.folder / name)

    def run(self, launcher: Launcher) -> list[str]:
        """Run those that are not completed yet; return the folders of those that failed."""
        failed: list[str] = []
        try:
            with FileLock(self.folder / ".promote.lock", timeout=0):
                jobs = {f"promoted_{trial.number}": self.job(trial) for trial in self.best}
                names = [name for name in jobs if self.record(name).get("state") != "completed"]
                if others := [name for name in jobs if name not in names and self.is_other(name)]:
                    told = "%s completed with other promote_overrides, and stay: to train them again, rename them."
                    log.warning(told, ", ".join(others))
                if names:
                    log.info(self.announcement(names))
                for start in range(0, len(names), self.settings.n_jobs):
                    batch = names[start : start + self.settings.n_jobs]
                    returns = launcher.launch([jobs[name] for name in batch], initial_job_idx=start)
                    done = [job.status == JobStatus.COMPLETED for job in returns]
                    failed += [name for name, completed in zip(batch, done, strict=True) if not completed]
        except Timeout:
            log.info("Another process runs the promoted jobs.")
        return failed

    def is_other(self, name: str) -> bool:
        """Whether the job of this name ran with settings that are not those of now."""
        overrides = self.record(name).get("overrides")
        return overrides is not None and not {*self.overrides, *self.typed} <= {*overrides}

    def job(self, trial: FrozenTrial) -> list[str]:
        chosen = [*trial.user_attrs["overrides"], *self.overrides]
        whose = {"study": self.study.study_name, "promoted_from": trial.number, "params": trial.params}
        return job_overrides(chosen, f"promoted_{trial.number}", whose, self.config)

    def announcement(self, names: list[str]) -> str:
        """`Promoting trials 4, 7, about 12 min: trainer.max_epochs=60`, and what was typed in a line of its own."""
        numbers = ", ".join(name.removeprefix("promoted_") for name in names)
        minutes = [self.record(name.removeprefix("promoted_")).get("minutes") for name in names]
        known = [value for value in minutes if value]
        about = ""
        if known:
            seconds = 60 * sum(known) / len(known) * len(names) * self.cost_ratio()
            about = f", about {duration(seconds / min(self.settings.n_jobs, len(names)))}"
        noun = "trial" if len(names) == 1 else "trials"
        lines = [f"Promoting {noun} {numbers}{about}: {' '.join(self.overrides) or 'as they are'}"]
        lines += [f"Typed, so kept: {' '.join(self.typed)}"] if self.typed else []
        return "\n".join(lines)

    def cost_ratio(self) -> float:
        """Work of a promoted job, in trials."""
        changed = dict(map(parse_override, self.overrides))
        ratios = []
        for key in COST:
            usual = OmegaConf.select(self.config, key)
            full = changed.get(key)
            if isinstance(full, int | float) and isinstance(usual, int | float) and usual:
                ratios.append(full / usual)
        return math.prod(ratios)


def best_trials(
    study: Study, count: int, figures: Callable[[int], dict[str, Any]], score: Mapping[str, float]
) -> list[FrozenTrial]:
    """The `count` best complete trials that keep to the constraints, best first.

    Of several objectives the non-dominated ones come first; among equals the competition's score decides where every
    trial has F1 and MACs, else the first objective. The score's floor is left out: an F1 that a short training has not
    reached a full one may, and below the floor the cheapest network would always win.

    Args:
        figures: the record of a trial's job, by the trial's number.
        score: the competition's constants `baseline_f1` and `baseline_macs`; may be empty.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [
        trial
        for trial in trials
        if all(excess <= 0 for excess in trial.constraints.values()) and "same_as" not in trial.user_attrs
    ]
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    rank = {trial.number: sign * trial.values[0] for trial in trials}
    front = {trial.number for trial in trials}
    if len(study.directions) > 1:
        front = {trial.number for trial in study.best_trials}
        records = {trial.number: figures(trial.number) for trial in trials}
        if score and all({"val/f1", "model/macs"} <= record.keys() for record in records.values()):
            rank = {
                number: record["model/macs"] / score["baseline_macs"] - record["val/f1"] / score["baseline_f1"]
                for number, record in records.items()
            }
    return sorted(trials, key=lambda trial: (trial.number not in front, rank[trial.number], trial.number))[:count]
