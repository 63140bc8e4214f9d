"""A line on the screen for each trial that ends."""

import time

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hydra_plugins.optuna_sweeper._trials import Outcome

WIDTH = 44  # characters of a reason


class Progress:
    """Progress of a search: trials of how many, values, the best of the first objective, time left.

    Args:
        names: of the objectives.
        n_trials: to be finished in all.
        finished: of them when this process began.
    """

    def __init__(self, study: Study, names: list[str], n_trials: int, finished: int) -> None:
        self.study, self.n_trials, self.finished_before = study, n_trials, finished
        self.names = [name.rpartition("/")[2] for name in names] or ["objective"] * len(study.directions)
        self.started = time.monotonic()

    def line(self, number: int, outcome: Outcome, finished: int) -> str:
        """`12/60 trial 13: f1 0.5123, macs 812,345; best f1 0.612 (7); 12 min left`."""
        if outcome.state == "complete":
            pairs = zip(self.names, outcome.values, strict=False)
            what = ": " + ", ".join(f"{name} {number_text(value)}" for name, value in pairs)
        else:
            reason = " ".join(outcome.error.split())
            what = f" {outcome.state}: {reason if len(reason) <= WIDTH else reason[: WIDTH - 1] + '…'}"
        parts = [f"{finished}/{self.n_trials} trial {number}{what}", self.best(), self.time_left(finished)]
        return "; ".join(part for part in parts if part)

    def best(self) -> str:
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        trials = [trial for trial in trials if all(excess <= 0 for excess in trial.constraints.values())]
        if not trials:
            return ""
        sign = -1 if self.study.directions[0] == StudyDirection.MAXIMIZE else 1
        best = min(trials, key=lambda trial: sign * trial.values[0])
        return f"best {self.names[0]} {number_text(best.values[0])} ({best.number})"

    def time_left(self, finished: int) -> str:
        done = finished - self.finished_before
        if done < 1 or finished >= self.n_trials:
            return ""
        return f"{duration((time.monotonic() - self.started) / done * (self.n_trials - finished))} left"


def number_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
