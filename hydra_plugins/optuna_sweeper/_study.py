"""Study of a search: made, or gone on with, and the sampler that draws its trials."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna import Study
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from hydra_plugins.optuna_sweeper._choices import function_at
from hydra_plugins.optuna_sweeper._same_settings import check_same_settings
from hydra_plugins.optuna_sweeper._settings import Settings
from trashlite.errors import UserError
from trashlite.reports.sweep.records import find_jobs
from trashlite.sweeps.storage import create_study, is_missing, open_storage, study_url, without_password

SAME_SEED = ("GridSampler", "QMCSampler")  # their sequence is one for all processes; the study tells how far it is


def silence_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module=r"optuna\..*")  # on what is experimental there
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(settings: Settings, config: DictConfig, fixed: list[str], folder: Path) -> tuple[Study, BaseStorage]:
    """Make the study of a sweep's folder, or go on with it.

    Args:
        fixed: overrides of the command that are no choices.

    Raises:
        UserError: a storage that cannot be used or that has lost trials, or a study that began with other settings.
    """
    points = settings.enqueue or []
    begin_with = function_at("enqueue", points) if isinstance(points, str) else lambda config: points
    pruner = create("pruner", settings.pruner) if settings.pruner else None
    url = study_url(settings.storage, folder)
    with FileLock(folder / ".begin.lock"):  # who comes second finds all of it
        numbers = trial_numbers(folder)
        if numbers and is_missing(url):
            raise lost(folder, numbers, url)
        storage = optuna.storages.get_storage(open_storage(url))
        study = create_study(storage, settings.study_name, settings.directions, pruner)
        if numbers and max(numbers) >= len(study.get_trials(deepcopy=False)):
            raise lost(folder, numbers, url)
        check_same_settings(study, config, fixed, folder)
        enqueue(study, begin_with, config)
        if settings.objective:
            study.set_metric_names(settings.objective)
    return study, storage


def trial_numbers(folder: Path) -> list[int]:
    """Numbers of the trials whose jobs have begun in the folder of a sweep."""
    names = [path.relative_to(folder).name.removeprefix("promoted_") for path in find_jobs(folder, 1)]
    return [int(name) for name in names if name.isdecimal()]


def lost(folder: Path, numbers: list[int], url: str) -> UserError:
    return UserError(
        f"{folder} holds the job of trial {max(numbers)}, of which the study in {without_password(url)} knows nothing: "
        "a former storage is lost, or elsewhere. Bring it back, or begin another search with "
        "hydra.sweeper.study_name=NAME."
    )


def enqueue(study: Study, begin_with: Callable[[DictConfig], list[dict[str, Any]]], config: DictConfig) -> None:
    """Queue the points that a new study begins with, those too that a process which was killed here left out."""
    begun = any(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
    if begun or "enqueued" in study.user_attrs:
        return
    for point in begin_with(config):
        study.enqueue_trial(dict(point), skip_if_exists=True)
    study.set_user_attr("enqueued", True)


def create_sampler(settings: dict[str, Any], first_trial: int) -> BaseSampler:
    """The sampler of a process whose first trial has this number: no two draw the same numbers."""
    settings = dict(settings)
    if settings.get("seed") is not None and not settings["_target_"].endswith(SAME_SEED):
        settings["seed"] += first_trial
    return create("sampler", settings)


def create(name: str, settings: dict[str, Any]) -> Any:
    """The sampler or pruner of these settings.

    Raises:
        UserError: its class does not take them.
    """
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        raise UserError(f"hydra.sweeper.{name}={settings}: {error.__cause__ or error}") from error
