"""Which trials of a cheap search deserve a full run."""

from collections.abc import Callable, Mapping
from typing import Any

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


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
    trials = [trial for trial in trials if all(excess <= 0 for excess in trial.constraints.values())]
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
