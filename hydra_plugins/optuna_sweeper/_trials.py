"""The trials of a study that several processes may work on: which to begin, and how each one ended."""

import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from trashlite.errors import UserError
from trashlite.sweeps.jobs import read_record
from trashlite.sweeps.processes import Watch, read_marker, this_process

log = logging.getLogger(__name__)

# User attributes of a trial.
OWNER, BEAT = "owner", "heartbeat"
RETRY_OF, ATTEMPT, STOPS, GIVEN_UP, ERROR = "retry_of", "attempt", "stops", "given_up", "error"
MISTAKE = "mistake"  # the message of one in the settings
EXHAUSTED = "exhausted"  # user attribute of a study whose sampler has no further point
ALIKE = 3  # trials that end by the same mistake before any success: it is in what all have in common
MAX_STOPS = 5  # of a trial: one that takes its process down each time, as too large a network may, ends at last
NAMELESS_SECONDS = 20  # from the creation of a trial to its owner's name in it: far less


@dataclass(frozen=True)
class Outcome:
    """End of a job: its values if complete, else the reason; constraints, and attributes to keep."""

    state: Literal["complete", "pruned", "failed", "stopped"]
    values: list[float] = field(default_factory=list)
    error: str = ""
    retriable: bool = True
    constraints: dict[str, float] = field(default_factory=dict)
    """Positive where a constraint is broken."""
    links: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """Number of trials in each state."""

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
        recall: how the job of a trial ended, as its folder tells, when its process is gone; None: it still runs.
    """

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        n_trials: int,
        max_retries: int,
        create_sampler: Callable[[int], BaseSampler],
        recall: Callable[[int, Watch], Outcome | None],
    ) -> None:
        self.study, self.storage = study, storage
        self.n_trials, self.max_retries = n_trials, max_retries
        self.create_sampler, self.recall = create_sampler, recall
        self.owner, self.watch = this_process(), Watch()
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
            trial = self.next_again() or self.study.ask()
            self.mine.add(trial.number)
            trial.set_user_attr(BEAT, time.time())
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

    def next_again(self) -> Trial | None:
        """A stopped or failed trial once more, which goes before points that wait for their first turn."""
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for number in [trial._trial_id for trial in waiting if RETRY_OF in trial.user_attrs]:
            with suppress(UpdateFinishedTrialError):  # by another process, which was faster; False: that has begun it
                if self.storage.set_trial_state_values(number, TrialState.RUNNING):
                    return Trial(self.study, number)
        return None

    def give_back(self, trial: Trial) -> None:
        """Leave a trial, for which nothing has been chosen yet, to whoever asks next."""

        self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        self.mine.discard(trial.number)
        time.sleep(random.random())  # two that both gave back shall not meet again

    def take_over_abandoned(self) -> None:
        """End the trials of processes that are gone, as their jobs' records tell, and have the stopped ones run again.

        A job that outlived its sweeper is left to come to its end.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in self.mine or not self.is_abandoned(trial):
                continue
            if outcome := self.recall(trial.number, self.watch):
                log.info("Trial %d of a process that is gone: %s %s", trial.number, outcome.state, outcome.error)
                self.end(Trial(self.study, trial._trial_id), outcome)

    def is_abandoned(self, trial: FrozenTrial) -> bool:
        """Whether the process that ran this running trial is gone."""
        owner = trial.user_attrs.get(OWNER)
        patience = {} if owner else {"patience": NAMELESS_SECONDS}  # its process has just begun it, or was killed then
        return self.watch.is_gone(trial.number, owner, trial.user_attrs.get(BEAT), **patience)

    def check_failures(self, count: Count, max_failure_rate: float) -> None:
        """Check that not too many trials failed, and that it is not something that all have in common.

        Raises:
            UserError: with the whole reason of the last one.
        """
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        failed = [trial for trial in failed if GIVEN_UP in trial.user_attrs]
        if len(failed) > max_failure_rate * self.n_trials:
            raise UserError(
                f"{len(failed)} trials failed, more than hydra.sweeper.max_failure_rate={max_failure_rate} of "
                f"{self.n_trials} allows; {count.finished} are finished. The last, trial {failed[-1].number}: "
                f"{failed[-1].user_attrs.get(ERROR, '')}"
            )
        if len(failed) < ALIKE or count.finished:
            return
        mistakes = {trial.user_attrs.get(MISTAKE) for trial in failed}
        if len(mistakes) == 1 and None not in mistakes:
            raise UserError(f"All of {len(failed)} trials failed alike, and none is finished: {mistakes.pop()}")

    def check_completed(self) -> None:
        """Check that there is a result.

        Raises:
            UserError: trials have ended, none of them complete; with the reason of the last one.
        """
        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if ended and all(trial.state == TrialState.PRUNED for trial in ended):
            reason = read_record(Path(ended[-1].user_attrs["folder"])).get("reason", "it was pruned")
            raise UserError(f"No trial of {len(ended)} was completed. The last, {ended[-1].number}: {reason}")

    def end(self, trial: Trial, outcome: Outcome, is_user_stop: bool = False) -> None:
        """Tell the study how a trial ended; a stopped one is queued again, a failed one while it may be retried."""
        attempt, stops = (trial.user_attrs.get(name, 0) for name in (ATTEMPT, STOPS))
        if outcome.state == "stopped":
            stops += not is_user_stop
            again = stops < MAX_STOPS
        else:
            again = outcome.state == "failed" and outcome.retriable and attempt < self.max_retries
            attempt += 1
        try:
            for name, value in outcome.links.items():
                trial.set_user_attr(name, value)
            for name, value in outcome.constraints.items():
                trial.set_constraint(name, value)
            if outcome.state in ("failed", "stopped"):
                trial.set_user_attr(ERROR, outcome.error)
                if again:
                    self.queue_again(trial, attempt, stops)
                else:
                    trial.set_user_attr(GIVEN_UP, True)
            self.tell(trial, outcome)
        except (UpdateFinishedTrialError, ValueError) as error:
            log.warning("Trial %d was ended by another process, which took this one for dead: %s", trial.number, error)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(outcome.state, TrialState.FAIL)
        try:
            self.study.tell(trial, outcome.values or None, state)
        except UpdateFinishedTrialError:
            raise
        except RuntimeError:
            # How samplers that go through a finite space, once at its end, stop Study.optimize, which is not used here.
            self.exhausted = True
            self.study.set_user_attr(EXHAUSTED, True)

    def queue_again(self, trial: Trial, attempt: int, stops: int) -> None:
        """Queue a trial's parameters as a new trial, which the next process that asks gets."""
        others = (other.user_attrs for other in self.study.get_trials(deepcopy=False))
        if any(other.get(RETRY_OF) == trial.number for other in others):
            return  # by a process that was killed before it could end the trial itself

        # What a sampler noted, such as the point of a grid or the generation, holds for the retry too.
        notes = self.storage.get_trial_system_attrs(trial._trial_id)
        notes = {key: value for key, value in notes.items() if not key.startswith("constraints")}
        if trial.params:
            notes["fixed_params"] = trial.params
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                system_attrs=notes,
                user_attrs={RETRY_OF: trial.number, ATTEMPT: attempt, STOPS: stops},
            )
        )

    def twin_of(self, trial: Trial) -> FrozenTrial | None:
        """A finished trial with the same overrides, whose job would be the same."""
        overrides = trial.user_attrs["overrides"]
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        others = self.study.get_trials(deepcopy=False, states=states)
        return next((other for other in others if other.user_attrs.get("overrides") == overrides), None)

    def leave_to_job(self, trial: Trial, folder: Path) -> None:
        """Let the process that runs a trial's job own it: who goes on with the study waits for that process."""
        owner = read_marker(folder)
        if owner:
            trial.set_user_attr(OWNER, owner)
        self.mine.discard(trial.number)
