"""The settings of a sweep, checked before anything runs."""

import inspect
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from pydantic import FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from pydantic.dataclasses import dataclass

from trashlite.errors import UserError
from trashlite.sweeps.storage import check_no_password


@dataclass
class Settings:
    """As in conf/hydra/sweeper/optuna.yaml, which explains them; `objective` is the program's setting of that name."""

    study_name: str
    storage: str | None
    directions: list[Literal["minimize", "maximize"]]
    params: dict[str, Any]
    custom_search_space: str | None
    n_trials: PositiveInt
    timeout: NonNegativeFloat | None
    n_jobs: PositiveInt
    max_retries: NonNegativeInt
    max_failure_rate: NonNegativeFloat
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None
    constraints: dict[str, FiniteFloat]
    promote: NonNegativeInt
    promote_overrides: list[str]
    enqueue: list[dict[str, Any]] | str | None
    objective: list[str]
    storage_setting: str | None
    """`storage` as it was set: not resolved."""
    promote_is_typed: bool = False
    """Whether `promote_overrides` come from the command line."""

    @classmethod
    def create(cls, given: dict[str, Any], config: DictConfig) -> "Settings":
        """Take them from the composed configuration.

        Raises:
            UserError: some cannot work together, or hold a password.
        """
        raw: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
        check_no_password(raw["storage"])
        given = {name: value for name, value in given.items() if name != "trial"}
        objective = OmegaConf.select(config, "objective")
        typed = typed_settings(OmegaConf.select(config, "hydra.overrides.hydra") or [])
        for name in ("sampler", "pruner"):
            given[name] = own_arguments(name, given.get(name), typed.get(name))
        try:
            settings = cls(
                **given,
                objective=[] if objective is None else [str(name) for name in objective],
                storage_setting=raw["storage"],
                promote_is_typed="promote_overrides" in typed,
            )
        except ValidationError as error:
            lines = [
                f"hydra.sweeper.{'.'.join(map(str, each['loc']))}={each['input']}: {each['msg']}."
                for each in error.errors(include_url=False)
            ]
            raise UserError("\n".join(lines)) from error
        settings.check()
        return settings

    def check(self) -> None:
        if self.objective and len(self.objective) != len(self.directions):
            raise UserError(
                f"objective=[{','.join(self.objective)}] and hydra.sweeper.directions=[{','.join(self.directions)}] "
                "differ in length: give one direction for each objective."
            )
        if not isinstance(seed := self.sampler.get("seed"), int | None):
            raise UserError(f"hydra.sweeper.sampler.seed={seed} is no whole number.")
        if self.pruner and len(self.directions) > 1:
            raise UserError(
                "Optuna's pruners compare trials by one objective: set hydra.sweeper.pruner=null, or give one "
                "objective and one direction. max_macs prunes with several objectives too."
            )


def typed_settings(overrides: list[str]) -> dict[str, Any]:
    """The settings of the sweeper that stand on the command line; those below one as a dict."""
    typed: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_delete() or not override.key_or_group.startswith("hydra.sweeper."):
            continue
        name, _, below = override.key_or_group.removeprefix("hydra.sweeper.").partition(".")
        value = override.value()
        node = typed.setdefault(name, {})
        if below and isinstance(node, dict):
            node[below] = value
        elif isinstance(value, dict):
            node.update(value)
        else:
            typed[name] = value
    return typed


def own_arguments(name: str, given: dict[str, Any] | None, typed: Any) -> dict[str, Any] | None:
    """The class of a sampler or pruner with its arguments.

    Those of the sweep's file are for the file's class: where the command line names another, only its own count.

    Raises:
        UserError: there is no such class.
    """
    if not given:
        return given
    try:
        known = inspect.signature(get_object(str(given.get("_target_")))).parameters
    except Exception as error:
        raise UserError(
            f"hydra.sweeper.{name}._target_={given.get('_target_')} is no class: choose one of optuna.{name}s, such as "
            f"optuna.{name}s.{'TPESampler' if name == 'sampler' else 'MedianPruner'}."
        ) from error
    if not isinstance(typed, dict) or "_target_" not in typed:
        return given
    return {key: value for key, value in given.items() if key in typed or (key == "seed" and key in known)}
