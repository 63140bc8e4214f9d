"""Configuration of a sweep's best job as an overlay of conf/experiment/, so that it can be run again."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trashlite.errors import UserError
from trashlite.files import CONF
from trashlite.overrides import parse_override
from trashlite.reports.sweep.records import HYDRA, RESUMED, Job, read_choices, read_overrides

NAME = (
    "best_experiment"  # in the sweep's experiment/, so `--config-dir <sweep folder>` finds experiment=best_experiment
)
OVERLAYS = ("experiment", "sweep", "debug", "hydra")  # groups whose values are written out, or are not the job's
NULLABLE = ("callbacks", "logger")  # groups in which null says the same as no key
# Unless the command line names them:
FROM_CHECKPOINT = ("backbone", "datamodule", "image_size", "resize_mode", "resize_kernel")


def best_experiment(job: Job, folder: Path, summary: str) -> tuple[str, str]:
    """Return the YAML that gives the configuration of a job, and the command that runs it from the sweep's folder.

    It is the difference between the configuration that the job ran with and what `run.py` composes now. So it
    holds however the job got there: overlays, `+key=`, a search space, a resumed or a promoted run.

    Args:
        folder: of the sweep, where `--config-dir` is to find it.
        summary: what the job reached, for the comment at its head.

    Raises:
        UserError: the configuration of the job cannot be read.
    """
    config = read_config(job)
    default = compose_with({})
    chosen = {
        group: str(option)
        for group, option in read_choices(job).items()
        if group in default.hydra.runtime.choices
        and group.split("/")[0] not in OVERLAYS
        and option != default.hydra.runtime.choices[group]
        and (CONF / group / f"{option}.yaml").is_file()
    }
    base = compose_with(chosen)
    changed, gone = difference(settings_of(base), settings_of(config))
    overlay: dict[str, Any] = {}
    if chosen:
        overlay["defaults"] = [{f"override /{group}": option} for group, option in sorted(chosen.items())]
        overlay["defaults"].append("_self_")
    overlay |= changed
    command = [f"~{key}" for key in gone]
    if config.get("checkpoint"):
        command += [text for text in job.overrides if parse_override(text)[0].split(".")[0] in FROM_CHECKPOINT]
    more = f" {shlex.join(command)}" if command else ""
    again = f"python run.py --config-dir {shlex.quote(str(folder.resolve()))} experiment={NAME}{more}"
    head = [
        "# @package _global_",
        f"# Job {job.name} of {folder.resolve().name}: {summary}. Again, with the same seed:",
        f"#   {again}",
        f"# or copy this file to conf/experiment/NAME.yaml, then: python run.py experiment=NAME{more}",
    ]
    return "\n".join([*head, OmegaConf.to_yaml(OmegaConf.create(overlay)) if overlay else ""]), again


def read_config(job: Job) -> DictConfig:
    """The composed configuration of a job, not resolved, with what a resume changed.

    Raises:
        UserError: it is missing or broken.
    """
    path, resumed = job.folder / HYDRA / "config.yaml", job.folder / RESUMED
    if resumed.is_dir() and not path.is_file():
        raise UserError(f"Job {job.name} went on with a run of another folder, where its configuration is.")
    try:
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise ValueError("it holds no settings")
        if resumed.is_dir():
            from lightning_modules.checkpoint.adopt import copy_keys, override_keys  # takes seconds to import

            keys = override_keys(read_overrides(job.folder, (RESUMED,)))
            copy_keys(OmegaConf.load(resumed / "config.yaml"), config, keys)  # type: ignore[arg-type]
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"The configuration {path} of job {job.name} cannot be read: {error}") from error
    return config


def compose_with(choices: dict[str, str]) -> DictConfig:
    """Configuration that `run.py` composes with these options of config groups, with the node `hydra`."""
    overrides = [f"{group}={option}" for group, option in choices.items()]
    is_inside_run = GlobalHydra.instance().is_initialized()  # at the end of a sweep
    with nullcontext() if is_inside_run else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=overrides, return_hydra_config=True)


def settings_of(config: DictConfig) -> dict[str, Any]:
    """As a dict, not resolved, without the node `hydra`."""
    content: Any = OmegaConf.to_container(config, resolve=False)
    return {key: value for key, value in content.items() if key != "hydra"}


def difference(base: dict[str, Any], config: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """Difference to merge into `base` to get `config`, and the dotted keys that a merge cannot take away."""
    changed: dict[str, Any] = {}
    gone: list[str] = []
    for key in base.keys() - config.keys():
        if prefix.rstrip(".") in NULLABLE:
            changed[key] = None
        else:
            gone.append(f"{prefix}{key}")
    for key, value in config.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            inner, missing = difference(base[key], value, f"{prefix}{key}.")
            gone += missing
            if inner:
                changed[key] = inner
        elif key not in base or repr(base[key]) != repr(value):  # 1, 1.0 and true are not the same
            if key == "_target_" and key in base and not is_there(value):
                continue  # the class has moved since the job ran: today's is the same
            changed[key] = value
    return changed, sorted(gone)


def is_there(target: Any) -> bool:
    """Whether there is a class of this name."""
    try:
        return bool(get_object(str(target)))
    except (ImportError, ValueError):  # Hydra's ImportError also where the module lacks it
        return False
