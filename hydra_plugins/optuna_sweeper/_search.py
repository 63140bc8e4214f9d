"""A search: ask Optuna for trials, have a launcher run their jobs, tell Optuna how they went."""

import logging
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from optuna import Study, Trial
from optuna.samplers import BaseSampler

from hydra_plugins.optuna_sweeper._jobs import job_outcome, job_overrides, recorded_outcome
from hydra_plugins.optuna_sweeper._overrides import key_of, to_override
from hydra_plugins.optuna_sweeper._owner import Heartbeat
from hydra_plugins.optuna_sweeper._promote import best_trials
from hydra_plugins.optuna_sweeper._search_space import parse_space
from hydra_plugins.optuna_sweeper._settings import Settings
from hydra_plugins.optuna_sweeper._trials import Outcome, Trials
from trashlite.errors import UserError
from trashlite.sweeps.jobs import read_record
from trashlite.sweeps.storage import create_study, open_storage, study_url, write_sweep

log = logging.getLogger(__name__)

SAME_SEED = ("GridSampler", "QMCSampler")  # their sequence is one for all processes; the study tells how far it is
HARMLESS = {"threads", "logger", "group", "tags", "notes"}  # may change when a study goes on
POLL_SECONDS = 1.0


class Search:
    """One command's part in a study: until `n_trials` are finished, whoever ran them.

    The job of trial 7 runs in the folder `7` of the sweep, the full run of a promoted one in `promoted_7`.

    Raises (in `run`):
        UserError: settings that do not fit the study, too many failures, or a promoted job that failed.
    """

    def __init__(
        self, settings: Settings, config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: list[str]
    ) -> None:
        self.settings, self.config, self.launcher = settings, config, launcher
        self.folder = Path(config.hydra.sweep.dir)
        lines = [f"{key}={value}" for key, value in settings.params.items()]
        self.space = parse_space([*lines, *arguments], loader)
        self.sampler = dict(settings.sampler)
        self.n_trials = settings.n_trials
        if self.sampler["_target_"].endswith("GridSampler"):
            self.sampler.setdefault("search_space", self.space.grid())
            points = math.prod(len(values) for values in self.sampler["search_space"].values())
            self.n_trials = min(self.n_trials, points)

    def run(self) -> None:
        self.study, self.trials = self.open_study()
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        try:
            self.run_trials()
            failed = self.run_promoted() if self.settings.promote else []
        except (KeyboardInterrupt, SystemExit) as stop:
            log.warning("Stopped: %d of %d trials are finished. The same command goes on: python %s",
                        self.trials.count().finished, self.n_trials, shlex.join(sys.argv))  # fmt: skip
            raise SystemExit(130 if isinstance(stop, KeyboardInterrupt) else stop.code) from None
        if failed:
            raise UserError(f"Promoted jobs failed: {', '.join(failed)}. The same command runs them again.")

    def open_study(self) -> tuple[Study, Trials]:
        """Make the study, or go on with it."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.settings
        storage = optuna.storages.get_storage(open_storage(study_url(settings.storage, self.folder)))
        pruner = instantiate(settings.pruner) if settings.pruner else None
        study = create_study(storage, settings.study_name, settings.directions, pruner)
        self.check_same_settings(study)
        write_sweep(
            self.folder, self.config, study_name=settings.study_name, objective=settings.objective,
            directions=settings.directions, seed=self.sampler.get("seed"), sampler=self.sampler["_target_"],
            n_trials=self.n_trials,
        )  # fmt: skip
        study.sampler = self.create_sampler(0)
        trials = Trials(study, storage, self.n_trials, settings.max_retries, self.create_sampler, self.recall)
        return study, trials

    def check_same_settings(self, study: Study) -> None:
        """Trials of other settings cannot be compared, so a study keeps those that it began with.

        Raises:
            UserError: this command has others.
        """
        mine = sorted(text for text in self.space.fixed if key_of(text).split(".")[0] not in HARMLESS)
        begun = study.user_attrs.get("settings")
        if begun is None:
            study.set_user_attr("settings", mine)
        elif begun != mine:
            raise UserError(
                f"The study {study.study_name!r} in {self.folder} began with other settings "
                f"({' '.join(begun) or 'none'}) than this command's ({' '.join(mine) or 'none'}). "
                "Begin another with hydra.sweeper.study_name=NAME."
            )

    def create_sampler(self, first_trial: int) -> BaseSampler:
        """The sampler of a process whose first trial has this number: no two draw the same numbers."""
        settings = dict(self.sampler)
        if settings.get("seed") is not None and not settings["_target_"].endswith(SAME_SEED):
            settings["seed"] += first_trial
        return instantiate(settings, _convert_="all")

    def run_trials(self) -> None:
        """Run batches until the study has its trials or the time is over."""
        deadline = math.inf if self.settings.timeout is None else time.monotonic() + self.settings.timeout
        told = False
        while True:
            count = self.trials.count()
            if count.running:  # this process has nothing running here
                self.trials.take_over_abandoned()
                count = self.trials.count()
            if count.given_up > self.settings.max_failure_rate * self.n_trials:
                raise UserError(
                    f"{count.given_up} trials failed, more than hydra.sweeper.max_failure_rate="
                    f"{self.settings.max_failure_rate} of {self.n_trials} allows; {count.finished} are finished."
                )
            if count.finished >= self.n_trials:
                log.info("Study %s: %d of %d trials are finished, %d failed.",
                         self.study.study_name, count.finished, self.n_trials, count.given_up)  # fmt: skip
                return
            if time.monotonic() > deadline:
                log.warning("Time is over: %d of %d trials are finished. The same command goes on.",
                            count.finished, self.n_trials)  # fmt: skip
                return
            if batch := self.trials.claim(self.settings.n_jobs, count):
                self.run_batch(batch)
            elif self.trials.exhausted and not count.running:
                log.info("Study %s: the whole space was tried, %d trials.", self.study.study_name, count.finished)
                return
            else:
                if not told:
                    log.info("Waiting for %d trials that other processes run.", count.running)
                told = True
                time.sleep(POLL_SECONDS)

    def run_batch(self, batch: list[Trial]) -> None:
        """Run the jobs of these trials and record how each ended, also when the whole is stopped."""
        settings = self.settings
        open_trials = list(batch)
        try:
            jobs = [self.job(trial) for trial in batch]
            with Heartbeat(batch, lambda error: log.warning("The study's storage did not answer: %s", error)):
                returns = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            for trial, job in zip(batch, returns, strict=True):
                record = read_record(self.job_folder(trial.number))
                self.end(trial, job_outcome(job, record, len(settings.directions), settings.constraints))
                open_trials.remove(trial)
        except BaseException as error:
            for trial in open_trials:
                outcome = self.recall(trial.number)
                if outcome.state == "failed" and isinstance(error, Exception):  # Ctrl-C is none
                    outcome = Outcome("failed", error=str(error), retriable=False)
                self.end(trial, outcome)
            raise

    def job(self, trial: Trial) -> list[str]:
        """Let the trial choose its parameters; return the overrides of its job."""
        chosen = self.choose(trial)
        trial.set_user_attr("job", trial.number)
        trial.set_user_attr("folder", str(self.job_folder(trial.number)))
        trial.set_user_attr("overrides", chosen)
        whose = {"study": self.study.study_name, "number": trial.number, "params": trial.params}
        return job_overrides(chosen, str(trial.number), whose)

    def choose(self, trial: Trial) -> list[str]:
        try:
            chosen = [*self.space.fixed, *self.space.suggest(trial)]
            if self.settings.custom_search_space:
                values = get_method(self.settings.custom_search_space)(self.config, trial)
                chosen += [to_override(key, value) for key, value in values.items()]
        except ValueError as error:
            if "does not support dynamic value space" not in str(error):
                raise
            raise UserError(
                f"The choices are no longer those that the study {self.study.study_name!r} began with ({error}). "
                "Begin another with hydra.sweeper.study_name=NAME."
            ) from error
        return chosen

    def end(self, trial: Trial, outcome: Outcome) -> None:
        self.trials.end(trial, outcome)
        names = self.settings.objective or [f"objective {index}" for index in range(len(outcome.values))]
        values = "  ".join(f"{name} {value:,.6g}" for name, value in zip(names, outcome.values, strict=False))
        log.info("Trial %d %s  %s", trial.number, outcome.state, values or outcome.error)

    def job_folder(self, number: int) -> Path:
        return self.folder / str(number)

    def recall(self, number: int) -> Outcome:
        return recorded_outcome(self.job_folder(number), len(self.settings.directions), self.settings.constraints)

    def run_promoted(self) -> list[str]:
        """Run the best trials once more with `promote_overrides`; return the folders of those that failed."""
        score = self.config.get("score") or {}
        best = best_trials(
            self.study, self.settings.promote, lambda number: read_record(self.job_folder(number)), score
        )
        failed: list[str] = []
        try:
            with FileLock(self.folder / ".promote.lock", timeout=0):
                jobs = {f"promoted_{trial.number}": self.promoted_job(trial) for trial in best}
                names = [name for name in jobs if read_record(self.folder / name).get("state") != "completed"]
                for start in range(0, len(names), self.settings.n_jobs):
                    batch = names[start : start + self.settings.n_jobs]
                    returns = self.launcher.launch([jobs[name] for name in batch], initial_job_idx=start)
                    done = [job.status == JobStatus.COMPLETED for job in returns]
                    failed += [name for name, completed in zip(batch, done, strict=True) if not completed]
        except Timeout:
            log.info("Another process runs the promoted jobs.")
        return failed

    def promoted_job(self, trial: Any) -> list[str]:
        chosen = [*trial.user_attrs["overrides"], *self.settings.promote_overrides]
        whose = {"study": self.study.study_name, "promoted_from": trial.number, "params": trial.params}
        return job_overrides(chosen, f"promoted_{trial.number}", whose)
