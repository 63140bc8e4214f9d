"""A search: ask Optuna for trials, have a launcher run their jobs, tell Optuna how they went."""

import logging
import math
import shlex
import sys
import time
from functools import partial
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna import Study, Trial
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from hydra_plugins.optuna_sweeper._choices import Choices
from hydra_plugins.optuna_sweeper._jobs import job_outcome, job_overrides, record_stop, recorded_outcome
from hydra_plugins.optuna_sweeper._progress import Progress
from hydra_plugins.optuna_sweeper._promote import Promotion
from hydra_plugins.optuna_sweeper._search_space import parse_space
from hydra_plugins.optuna_sweeper._settings import Settings
from hydra_plugins.optuna_sweeper._study import create_sampler, open_study, silence_optuna
from hydra_plugins.optuna_sweeper._trials import BEAT, Outcome, Trials
from trashlite.errors import UserError
from trashlite.sweeps.jobs import read_record
from trashlite.sweeps.processes import Heartbeat, Watch
from trashlite.sweeps.storage import write_sweep

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LAUNCHERS = (
    "hydra._internal.core_plugins.basic_launcher",
    *(f"hydra_plugins.hydra_{name}_launcher" for name in ("joblib", "ray", "submitit")),
)


class Search:
    """One command's part in a study: until `n_trials` are finished, whoever ran them.

    The job of trial 7 runs in the folder `7` of the sweep, the full run of a promoted one in `promoted_7`.

    Raises (in `run`):
        UserError: settings that do not fit the study, too many failures, or a promoted job that failed.
    """

    def __init__(
        self, settings: Settings, config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: list[str]
    ) -> None:
        self.settings, self.config, self.loader, self.launcher = settings, config, loader, launcher
        self.folder = Path(config.hydra.sweep.dir)
        lines = [f"{key}={value}" for key, value in settings.params.items()]
        self.space = parse_space([*lines, *arguments], loader)
        self.sampler = dict(settings.sampler)
        self.n_trials = settings.n_trials
        self.choices = Choices(self.space, settings.custom_search_space, config)
        self.has_begun = False
        if self.sampler["_target_"].endswith("GridSampler"):
            self.sampler.setdefault("search_space", self.space.grid())
            points = math.prod(len(values) for values in self.sampler["search_space"].values())
            self.n_trials = min(self.n_trials, points)
        if self.sampler["_target_"].endswith("TPESampler") and settings.n_jobs > 1:
            self.sampler.setdefault("constant_liar", True)  # no two of a batch alike

    def run(self) -> None:
        for name in LAUNCHERS:  # a line for each trial is ours
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self.study, self.trials = self.open_study()
            self.has_begun = True
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            self.run_trials()
            if self.settings.promote:
                self.promote()
        except (KeyboardInterrupt, SystemExit) as stop:
            finished = self.trials.count().finished if self.has_begun else 0
            state = f"{finished} of {self.n_trials} trials are finished"
            log.warning("Stopped: %s. The same command goes on: python %s", state, shlex.join(sys.argv))
            code = getattr(stop, "code", 1) or 1  # 1: as a job in this process makes of Ctrl-C
            raise SystemExit(130 if code == 1 else code) from None
        except StorageInternalError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise UserError(f"The study's storage is gone: {reason}. The same command goes on.") from error
        except ModuleNotFoundError as error:
            name = self.sampler["_target_"].rpartition(".")[2]
            raise UserError(f"{name} needs a package that is not here: pip install {error.name}") from error

    def open_study(self) -> tuple[Study, Trials]:
        """Make the study, or go on with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        silence_optuna()
        if self.settings.promote:
            self.check_promote_overrides()
        for point in self.settings.enqueue if isinstance(self.settings.enqueue, list) else ():
            self.choices.check(point)
        study, storage = open_study(self.settings, self.config, self.space.fixed, self.folder)
        settings, names = self.settings, ("study_name", "objective", "directions", "constraints")
        given = {name: getattr(settings, name) for name in names} | {"n_trials": self.n_trials}
        given |= {"seed": self.sampler.get("seed"), "sampler": self.sampler["_target_"]}
        write_sweep(self.folder, settings.storage_setting, settings.storage, **given)
        sampler_of = partial(create_sampler, self.sampler)
        study.sampler = sampler_of(0)
        return study, Trials(study, storage, self.n_trials, self.settings.max_retries, sampler_of, self.recall)

    def check_promote_overrides(self) -> None:
        """Compose a promoted job now: a mistake would else be found after all trials.

        Raises:
            UserError: what Hydra says to it.
        """
        overrides = [*self.space.fixed, *self.settings.promote_overrides]
        try:
            self.loader.load_sweep_config(self.config, job_overrides(overrides, "promoted", {}, self.config))
        except HydraException as error:
            raise UserError(f"hydra.sweeper.promote_overrides={self.settings.promote_overrides}: {error}") from error

    def run_trials(self) -> None:
        """Run batches until the study has its trials or the time is over."""
        deadline = math.inf if self.settings.timeout is None else time.monotonic() + self.settings.timeout
        names, finished = self.settings.objective, self.trials.count().finished
        self.progress = Progress(self.study, names, self.n_trials, finished)
        told = False
        while True:
            count = self.trials.count()
            if count.running:  # this process has nothing running here
                self.trials.take_over_abandoned()
                count = self.trials.count()
            state = f"{count.finished} of {self.n_trials} trials are finished"
            if count.finished >= self.n_trials:
                log.info("Study %s: %s, %d failed.", self.study.study_name, state, count.given_up)
                self.trials.check_completed()
                return
            self.trials.check_failures(count, self.settings.max_failure_rate)
            if time.monotonic() > deadline:
                log.warning("Time is over: %s. The same command goes on.", state)
                return
            if batch := self.trials.claim(self.settings.n_jobs, count):
                self.run_batch(batch)
            elif self.trials.exhausted and not count.running:
                log.info("Study %s: the whole space was tried, %d trials.", self.study.study_name, count.finished)
                self.trials.check_completed()
                return
            else:
                if not told:
                    log.info("Waiting for %d trials that other processes run.", count.running)
                told = True
                time.sleep(POLL_SECONDS)

    def run_batch(self, batch: list[Trial]) -> None:
        """Run the jobs of these trials and record how each ended, also when the whole is stopped."""
        settings, open_trials = self.settings, list(batch)
        try:
            jobs = {trial.number: self.job(trial) for trial in batch}
            first = {str(trial.user_attrs["overrides"]): trial for trial in reversed(batch)}
            new = [trial for trial in first.values() if not self.trials.twin_of(trial)]
            new.sort(key=lambda trial: trial.number)
            if new:
                with Heartbeat(lambda: self.beat(batch)):
                    returns = self.launcher.launch([jobs[trial.number] for trial in new], new[0].number)
                for trial, job in zip(new, returns, strict=True):
                    record = read_record(self.job_folder(trial.number))
                    self.end(trial, job_outcome(job, record, len(settings.directions), settings.constraints))
                    open_trials.remove(trial)
            for trial in [trial for trial in open_trials if trial not in new]:
                self.end_like_twin(trial)
                open_trials.remove(trial)
        except (UserError, HydraException, OmegaConfBaseException) as error:  # a mistake in the settings of all
            failed = Outcome("failed", error=str(error), retriable=False)
            for trial in open_trials:
                outcome = self.recall(trial.number, self.trials.watch) or failed
                self.end(trial, failed if outcome.state == "stopped" else outcome)
            raise
        except StorageInternalError:
            raise
        except Exception as error:
            if not any(self.job_folder(trial.number).exists() for trial in batch):  # the launcher itself does not work
                self.stop(open_trials)
                raise
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            log.warning("A worker died; what it did not finish runs again. %s", reason)
            self.stop(open_trials)
        except BaseException:
            self.stop(open_trials, is_user_stop=True)
            raise

    def stop(self, trials: list[Trial], is_user_stop: bool = False) -> None:
        """End trials whose jobs the launcher gave up; those that still run come to their end by themselves."""
        for trial in trials:
            if outcome := self.recall(trial.number, self.trials.watch):
                self.end(trial, outcome, is_user_stop)
            else:
                self.trials.leave_to_job(trial, self.job_folder(trial.number))

    def beat(self, trials: list[Trial]) -> None:
        try:
            for trial in trials:
                trial.set_user_attr(BEAT, time.time())
        except Exception as error:  # the next beat may get through
            log.warning("The study's storage did not answer: %s", str(error).partition("\n")[0])

    def job(self, trial: Trial) -> list[str]:
        """Let the trial choose its parameters; return the overrides of its job."""
        chosen = self.choices.choose(trial)
        trial.set_user_attr("job", trial.number)
        trial.set_user_attr("folder", str(self.job_folder(trial.number)))
        trial.set_user_attr("overrides", chosen)
        whose = {"study": self.study.study_name, "number": trial.number, "params": trial.params}
        return job_overrides(chosen, str(trial.number), whose, self.config)

    def end(self, trial: Trial, outcome: Outcome, is_user_stop: bool = False) -> None:
        self.trials.end(trial, outcome, is_user_stop)
        log.info(self.progress.line(trial.number, outcome, self.trials.count().finished))

    def end_like_twin(self, trial: Trial) -> None:
        """Give a trial the result of the one that had the same settings, instead of running them again."""
        twin = self.trials.twin_of(trial)
        if twin is None:  # it was in the same batch, and failed
            self.trials.end(trial, Outcome("stopped", error="its twin failed"), is_user_stop=True)
            return
        trial.set_user_attr("same_as", twin.number)
        reason, constraints = f"the same as trial {twin.number}", dict(twin.constraints)
        if twin.state == TrialState.COMPLETE:
            self.end(trial, Outcome("complete", list(twin.values), reason, constraints=constraints))
        else:
            self.end(trial, Outcome("pruned", error=reason, constraints=constraints))

    def job_folder(self, number: int) -> Path:
        return self.folder / str(number)

    def recall(self, number: int, watch: Watch) -> Outcome | None:
        """End of a trial's job whose process is gone; None: the job itself still runs."""
        folder = self.job_folder(number)
        if not watch.is_job_gone(folder):
            return None
        outcome = recorded_outcome(folder, len(self.settings.directions), self.settings.constraints)
        if outcome.state == "stopped":
            record_stop(folder)
            if not watch.is_job_gone(folder):  # it began at this very moment; it sees the record, and ends
                return None
        return outcome

    def promote(self) -> None:
        """Run the best trials once more, in full."""
        promotion = Promotion(self.study, self.settings, self.config, self.space.fixed, self.folder)
        if failed := promotion.run(self.launcher):
            raise UserError(f"Promoted jobs failed: {', '.join(failed)}. The same command runs them again.")
