"""Importance of parameters for a figure, over points that somebody or something chose."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

Space = Sequence[Any] | tuple[float, float, bool]
"""Values of a categorical parameter (a list), or low, high and whether on a logarithmic scale (a tuple)."""


def importances(spaces: Mapping[str, Space], points: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, float]:
    """The share of each parameter in reaching a low cost, largest first (PED-ANOVA, Watanabe et al. 2023).

    Args:
        spaces: of the parameters to look at.
        points: chosen values, where a conditional parameter may be absent, and the cost.

    Returns:
        name -> share; empty where the costs say nothing because most are the same.
    """
    if not spaces or len({cost for _, cost in points}) < 2:
        return {}
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    distributions: dict[str, BaseDistribution] = {
        name: FloatDistribution(space[0], space[1], log=space[2])
        if isinstance(space, tuple)
        else CategoricalDistribution(list(space))
        for name, space in spaces.items()
    }
    trials = [
        optuna.trial.create_trial(
            params={name: value for name, value in values.items() if name in distributions},
            distributions={name: distributions[name] for name in values if name in distributions},
            value=cost,
        )
        for values, cost in points
    ]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(trials)
        # At least five trials count as good ones, as its authors advise.
        share = min(0.5, max(0.1, 5 / len(trials)))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some regimes for parameter")  # told by the few jobs
            warnings.filterwarnings("error", message="Target and region quantiles select the same")
            return optuna.importance.get_param_importances(study, evaluator=evaluator)
    except UserWarning:  # so many are equal that none is better than the others
        return {}
    finally:
        optuna.logging.set_verbosity(verbosity)
