"""Study of a search: made, or gone on with, and the sampler that draws its trials."""

import warnings
from pathlib import Path
from typing import Any

import optuna
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig
from optuna import Study
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from hydra_plugins.optuna_sweeper._same_settings import check_same_settings
from hydra_plugins.optuna_sweeper._search_space import SearchSpace
from hydra_plugins.optuna_sweeper._settings import Settings
from trashlite.sweeps.storage import create_study, open_storage, study_url

SAME_SEED = ("GridSampler", "QMCSampler")  # their sequence is one for all processes; the study tells how far it is


def open_study(settings: Settings, config: DictConfig, space: SearchSpace, folder: Path) -> tuple[Study, BaseStorage]:
    """Make the study of a sweep's folder, or go on with it.

    Raises:
        UserError: a storage that cannot be used, a study that began with other settings, or points to begin with that
            are none of the space.
    """
    points = settings.enqueue or []
    if not isinstance(points, str):
        for point in points:
            space.check(point, is_whole=settings.custom_search_space is None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module=r"optuna\..*")  # on what is experimental there
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = optuna.storages.get_storage(open_storage(study_url(settings.storage, folder)))
    pruner = instantiate(settings.pruner) if settings.pruner else None
    study = create_study(storage, settings.study_name, settings.directions, pruner)
    check_same_settings(study, config, space.fixed, folder)
    enqueue(study, points, config)
    if settings.objective:
        study.set_metric_names(settings.objective)
    return study, storage


def enqueue(study: Study, points: list[dict[str, Any]] | str, config: DictConfig) -> None:
    """Queue the points that a new study begins with; a text is the path of a function that gives them."""
    if "enqueued" in study.user_attrs or study.get_trials(deepcopy=False):
        return
    for point in get_method(points)(config) if isinstance(points, str) else points:
        study.enqueue_trial(dict(point), skip_if_exists=True)
    study.set_user_attr("enqueued", True)


def create_sampler(settings: dict[str, Any], first_trial: int) -> BaseSampler:
    """The sampler of a process whose first trial has this number: no two draw the same numbers."""
    settings = dict(settings)
    if settings.get("seed") is not None and not settings["_target_"].endswith(SAME_SEED):
        settings["seed"] += first_trial
    return instantiate(settings, _convert_="all")
