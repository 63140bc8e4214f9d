"""Choices of a trial: of the search space, and of a function where some depend on others."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig
from optuna import Trial, create_study
from optuna.samplers import RandomSampler

from hydra_plugins.optuna_sweeper._search_space import SearchSpace
from trashlite.errors import UserError

REHEARSALS = 100  # until a conditional parameter is asked for


class Choices:
    """Settings that a trial chooses.

    Args:
        function: dotted path of a function (config, trial) -> overrides; None: the space is all.
        config: composed configuration of the command.

    Raises:
        UserError: there is no such function.
    """

    def __init__(self, space: SearchSpace, function: str | None, config: DictConfig) -> None:
        self.space, self.config = space, config
        self.function = function_at("custom_search_space", function) if function else None

    def choose(self, trial: Trial) -> list[str]:
        """Let the trial choose; return the settings of its job."""
        try:
            chosen = [*self.space.fixed, *self.space.suggest(trial)]
            if self.function:
                chosen += self.space.chosen_by(self.function.__name__, self.function(self.config, trial))
        except ValueError as error:
            if "does not support dynamic value space" not in str(error):
                raise
            raise UserError(
                f"The choices are no longer those that the study {trial.study.study_name!r} began with ({error}). "
                "Begin another with hydra.sweeper.study_name=NAME."
            ) from error
        return chosen

    def check(self, point: Mapping[str, Any]) -> None:
        """Check a point to begin with, in a study for show; what it leaves open is drawn.

        Raises:
            UserError: it names what is no parameter, or a value that is none of the parameter's.
        """
        study, asked = create_study(sampler=RandomSampler(seed=0)), set[str]()
        for _ in range(REHEARSALS):
            study.enqueue_trial(dict(point))
            trial = study.ask()
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", message="Fixed parameter")  # is out of range
                    self.choose(trial)
            except UserError:
                raise
            except (ValueError, UserWarning) as error:
                raise UserError(f"hydra.sweeper.enqueue: {dict(point)}: {error}") from error
            asked |= trial.params.keys()
            if point.keys() <= asked:
                return
        unknown, known = (", ".join(sorted(names)) for names in (point.keys() - asked, asked))
        raise UserError(f"hydra.sweeper.enqueue: the search has no {unknown}; choose from {known}.")


def function_at(name: str, path: str) -> Callable[..., Any]:
    """The function at the dotted path that a setting holds.

    Raises:
        UserError: there is none.
    """
    try:
        return get_method(path)
    except (ImportError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"hydra.sweeper.{name}={path} is not the dotted path of a function: {reason}") from error
