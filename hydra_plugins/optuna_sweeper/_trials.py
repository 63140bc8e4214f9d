"""The trials of a study that several processes may work on: which to begin, and how each one ended."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from hydra_plugins.optuna_sweeper._owner import OWNER, is_abandoned, this_process

log = logging.getLogger(__name__)

RETRY_OF, ATTEMPT, GIVEN_UP, ERROR = "retry_of", "attempt", "given_up", "error"  # user attributes of a trial
EXHAUSTED = "exhausted"  # user attribute of a study whose sampler has no further point


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its values if complete, else why not; what it says about constraints, attributes to keep."""

    state: Literal["complete", "pruned", "failed"]
    values: list[float] = field(default_factory=list)
    error: str = ""
    retriable: bool = True
    constraints: dict[str, float] = field(default_factory=dict)
    """Positive where a constraint is broken."""
    links: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """How many trials of the study are in which state."""

    finished: int
    running: int
    waiting: int
    given_up: int


class Trials:
    """Hands out trials until `n_trials` of the study are finished, and records how they end.

    Args:
        storage: of the study.
        n_trials: complete or pruned ones, whoever ran them.
        max_retries: of a failed trial whose failure may have been chance.
        create_sampler: called with the number of this process's first trial, so that a process that goes on with
            a study, or stands beside another, does not draw the same numbers again.
        recall: how the job of a trial ended, as its folder tells, when its process is gone.
    """

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        n_trials: int,
        max_retries: int,
        create_sampler: Callable[[int], BaseSampler],
        recall: Callable[[int], Outcome],
    ) -> None:
        self.study, self.storage = study, storage
        self.n_trials, self.max_retries = n_trials, max_retries
        self.create_sampler, self.recall = create_sampler, recall
        self.owner = this_process()
        self.mine: set[int] = set()
        self.has_sampler = False
        self.exhausted = EXHAUSTED in study.user_attrs

    def count(self) -> Count:
        trials = self.study.get_trials(deepcopy=False)
        states = [trial.state for trial in trials]
        return Count(
            finished=states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED),
            running=states.count(TrialState.RUNNING),
            waiting=states.count(TrialState.WAITING),
            given_up=sum(GIVEN_UP in trial.user_attrs for trial in trials if trial.state == TrialState.FAIL),
        )

    def claim(self, most: int, count: Count) -> list[Trial]:
        """Begin up to `most` trials: none when those that run suffice, should they all end well."""
        missing = self.n_trials - count.finished - count.running
        if self.exhausted:
            missing = min(missing, count.waiting)
        batch: list[Trial] = []
        while len(batch) < min(most, missing):
            trial = self.study.ask()
            self.mine.add(trial.number)
            trial.set_user_attr(OWNER, self.owner)
            count = self.count()
            if count.finished + count.running > self.n_trials:  # another process began one at the same moment
                self.give_back(trial)
                break
            if not self.has_sampler:
                self.has_sampler = True
                self.study.sampler = self.create_sampler(trial.number)
            batch.append(trial)
        return batch

    def give_back(self, trial: Trial) -> None:
        """Leave a trial, for which nothing has been chosen yet, to whoever asks next."""

        self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        self.mine.discard(trial.number)
        time.sleep(random.random())  # two that both gave back shall not meet again

    def take_over_abandoned(self) -> None:
        """End the trials of processes that are gone: as their jobs' records tell, else as failed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in self.mine and is_abandoned(trial):
                outcome = self.recall(trial.number)
                log.info("Trial %d of a process that is gone: %s %s", trial.number, outcome.state, outcome.error)
                self.end(Trial(self.study, trial._trial_id), outcome)

    def end(self, trial: Trial, outcome: Outcome) -> None:
        """Tell the study how a trial ended; a failed one is queued again while it may be retried."""
        attempt = trial.user_attrs.get(ATTEMPT, 0)
        retry = outcome.state == "failed" and outcome.retriable and attempt < self.max_retries
        try:
            for name, value in outcome.links.items():
                trial.set_user_attr(name, value)
            for name, value in outcome.constraints.items():
                trial.set_constraint(name, value)
            if outcome.state == "failed":
                trial.set_user_attr(ERROR, outcome.error)
                if not retry:
                    trial.set_user_attr(GIVEN_UP, True)
            if retry:
                self.queue_again(trial, attempt + 1)
            self.tell(trial, outcome)
        except (UpdateFinishedTrialError, ValueError) as error:
            log.warning("Trial %d was ended by another process, which took this one for dead: %s", trial.number, error)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        try:
            self.study.tell(trial, outcome.values or None, state[outcome.state])
        except UpdateFinishedTrialError:
            raise
        except RuntimeError:
            # How samplers that go through a finite space, once at its end, stop Study.optimize, which is not used here.
            self.exhausted = True
            self.study.set_user_attr(EXHAUSTED, True)

    def queue_again(self, trial: Trial, attempt: int) -> None:
        """Queue a failed trial's parameters as a new trial, which the next process that asks gets."""
        origin = trial.user_attrs.get(RETRY_OF, trial.number)
        others = (other.user_attrs for other in self.study.get_trials(deepcopy=False))
        if any(other.get(RETRY_OF) == origin and other.get(ATTEMPT) == attempt for other in others):
            return  # by a process that was killed before it could end the trial itself

        # What a sampler noted, such as the point of a grid or the generation, holds for the retry too.
        notes = self.storage.get_trial_system_attrs(trial._trial_id)
        notes = {key: value for key, value in notes.items() if not key.startswith("constraints")}
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                system_attrs={**notes, "fixed_params": trial.params},
                user_attrs={RETRY_OF: origin, ATTEMPT: attempt},
            )
        )
