"""Comparison of a command with the settings that its study began with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna import Study
from optuna.trial import TrialState

from trashlite.errors import UserError
from trashlite.overrides import parse_override

HARMLESS = {"threads", "logger", "group", "tags", "notes", "output_dir"}  # may change when a study goes on
SHOWN = 4  # differences in the message
ABSENT = "(absent)"


def check_same_settings(study: Study, config: DictConfig, fixed: list[str], folder: Path) -> None:
    """Trials of other settings cannot be compared, so a study keeps the configuration that it began with.

    Studies of former versions know only the settings of their command.

    Args:
        fixed: overrides of the command that are no choices.

    Raises:
        UserError: this command has others.
    """
    mine = composed(config)
    begun = study.user_attrs.get("config")
    if begun is None:
        former = study.user_attrs.get("settings")
        typed = sorted(text for text in fixed if parse_override(text)[0].split(".")[0] not in HARMLESS)
        if former is not None and former != typed:
            raise refusal(study, folder, f"{' '.join(former) or 'none'} then, {' '.join(typed) or 'none'} now")
        study.set_user_attr("config", mine)
        return
    keys = dict.fromkeys([*begun, *mine])
    pairs = [(key, begun.get(key, ABSENT), mine.get(key, ABSENT)) for key in keys]
    pairs.sort(key=lambda pair: pair[0].endswith("_target_"))  # classes say less than values
    differing = [f"{key}={old} then, {new} now" for key, old, new in pairs if old != new]
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise refusal(study, folder, "; ".join(differing[:SHOWN]) + more)


def refusal(study: Study, folder: Path, what: str) -> UserError:
    states = {trial.state for trial in study.get_trials(deepcopy=False)}
    is_empty = not states & {TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING}
    return UserError(
        f"The study {study.study_name!r} in {folder} began with other settings ({what}): its trials could not be "
        "compared. Begin another with hydra.sweeper.study_name=NAME"
        f"{', or remove that folder: none of its trials has a result' if is_empty else ''}."
    )


def composed(config: DictConfig) -> dict[str, Any]:
    """Dotted key -> value of the program's configuration, not resolved, the function that chooses, and constraints."""
    content: Any = OmegaConf.to_container(config, resolve=False)
    sweeper = content.pop("hydra")["sweeper"]
    kept = {key: value for key, value in content.items() if key not in HARMLESS}
    space = {
        "custom_search_space": sweeper.get("custom_search_space"),
        **dict(leaves(sweeper["constraints"], "constraints.")),
    }
    return {**dict(leaves(kept)), **{f"hydra.sweeper.{key}": value for key, value in space.items()}}


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
