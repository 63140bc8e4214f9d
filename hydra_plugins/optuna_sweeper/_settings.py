"""The settings of a sweep, checked before anything runs."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trashlite.errors import UserError
from trashlite.sweeps.storage import check_no_password


@dataclass
class Settings:
    """As in conf/hydra/sweeper/optuna.yaml, which explains them; `objective` is the program's setting of that name."""

    study_name: str
    storage: str | None
    directions: list[str]
    params: dict[str, Any]
    custom_search_space: str | None
    n_trials: int
    timeout: float | None
    n_jobs: int
    max_retries: int
    max_failure_rate: float
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None
    constraints: dict[str, float]
    promote: int
    promote_overrides: list[str]
    objective: list[str]

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
        settings = cls(**given, objective=[] if objective is None else [str(name) for name in objective])
        settings.check()
        return settings

    def check(self) -> None:
        for direction in self.directions:
            if direction not in ("minimize", "maximize"):
                raise UserError(
                    f"hydra.sweeper.directions={direction}: choose minimize or maximize for each objective."
                )
        if self.objective and len(self.objective) != len(self.directions):
            raise UserError(
                f"objective=[{','.join(self.objective)}] and hydra.sweeper.directions=[{','.join(self.directions)}] "
                "differ in length: give one direction for each objective."
            )
        if self.pruner and len(self.directions) > 1:
            raise UserError(
                "Optuna's pruners compare trials by one objective: set hydra.sweeper.pruner=null, or give one "
                "objective and one direction. max_macs prunes with several objectives too."
            )
        for name in ("n_trials", "n_jobs"):
            if getattr(self, name) < 1:
                raise UserError(f"hydra.sweeper.{name}={getattr(self, name)} must be at least 1.")
