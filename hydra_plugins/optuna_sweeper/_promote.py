"""Which trials of a cheap search deserve a full run."""

from collections.abc import Callable
from typing import Any

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


def best_trials(study: Study, count: int, figures: Callable[[int], dict[str, Any]]) -> list[FrozenTrial]:
    """The `count` best complete trials that keep to the constraints, best first.

    Of several objectives the non-dominated ones come first; among equals the competition's score decides where
    every trial has one, else the first objective.

    Args:
        figures: the record of a trial's job, by the trial's number.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [trial for trial in trials if all(excess <= 0 for excess in trial.constraints.values())]
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1
    rank = {trial.number: sign * trial.values[0] for trial in trials}
    front = {trial.number for trial in trials}
    if len(study.directions) > 1:
        front = {trial.number for trial in study.best_trials}
        scores = {trial.number: figures(trial.number).get("val/score") for trial in trials}
        if all(score is not None for score in scores.values()):
            rank = scores
    return sorted(trials, key=lambda trial: (trial.number not in front, rank[trial.number], trial.number))[:count]
