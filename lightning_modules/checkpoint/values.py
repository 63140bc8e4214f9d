"""Plain values of a checkpoint's configuration, taken into one that this program composed.

A checkpoint may come from a stranger: what is called (`_target_` and its like), what is looked up (`${…}`) and where
files are written are always those of `conf/` and of the command line.
"""

import inspect
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from trashlite.errors import UserError
from trashlite.files import CONF

log = logging.getLogger(__name__)

# Places to write to, by the last part of their key.
WRITTEN = frozenset(
    {
        "output_dir",
        "report_dir",
        "cache_dir",
        "save_dir",
        "dirpath",
        "filename",
        "default_root_dir",
        "weights_save_path",
    }
)
# Of earlier versions: settings that are none any more, and callbacks with another name.
GONE = frozenset({"callbacks.fold_batchnorm", "callbacks.low_rank.at_epoch"})
RENAMED = {"WandbMedia": "ResultPictures"}


def take_values(ours: Any, theirs: Any, where: str = "") -> Any:
    """`ours` with the plain values of `theirs`.

    Where our node calls something, arguments that theirs leaves out stay as they are; nodes of settings are replaced.

    Args:
        ours: composed configuration, not resolved.
        theirs: a checkpoint's.
        where: dotted key of both, for messages and to find the option of a config group.

    Raises:
        UserError: theirs calls what no option of that group does, or looks up what ours does not.
    """
    if isinstance(theirs, Mapping):
        return _take_mapping(ours, theirs, where)
    if isinstance(ours, Mapping) and "." not in where:
        raise UserError(f"{where} of the checkpoint is {theirs!r}, not a group of settings.")
    if isinstance(theirs, list | tuple):
        return [take_values(None, item, where) for item in theirs]
    if isinstance(theirs, str) and "${" in theirs and theirs != ours:
        raise UserError(
            f"{where} is {theirs!r} in the checkpoint, and nothing is looked up for a file: give {where}=VALUE."
        )
    if theirs is not None and not isinstance(theirs, str | bool | int | float):
        raise UserError(f"{where} of the checkpoint is a {type(theirs).__name__}, not a setting.")
    return theirs


def _take_mapping(ours: Any, theirs: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "_target_" in theirs:
        ours = _called_alike(ours, str(theirs["_target_"]), where)
    base: Mapping[str, Any] = ours if isinstance(ours, Mapping) else {}
    target = base.get("_target_")
    taken = {}
    for key, value in theirs.items():
        name = f"{where}.{key}".lstrip(".")
        if _is_ours(str(key), base) or name in GONE or (not where and key not in base):
            continue
        if target and key not in base and not _accepts(target, key):
            log.warning("%s of the checkpoint is no setting any more: left out.", name)
            continue
        taken[key] = take_values(base.get(key), value, name)
    holds_parts = (
        not where or target or any(isinstance(value, Mapping) and "_target_" in value for value in base.values())
    )
    kept = base if holds_parts else {key: value for key, value in base.items() if _is_ours(key, base)}
    return {**kept, **taken}


def _is_ours(key: str, base: Mapping[str, Any]) -> bool:
    renders = key == "root" and base.get("root", "???") != "???"  # the demo set is written to its root
    return key.startswith("_") or key in WRITTEN or renders


def _called_alike(ours: Any, target: str, where: str) -> Mapping[str, Any]:
    """The node of this program that calls the class of the same name: the composed one, or an option of its group."""
    name = target.rpartition(".")[2]
    name = RENAMED.get(name, name)
    group, _, rest = where.partition(".")
    options = (load_option(group, file.stem) for file in sorted((CONF / group).glob("*.yaml")))
    for node in (ours, *((_select(option, rest)) for option in options)):
        if isinstance(node, Mapping) and str(node.get("_target_")).rpartition(".")[2] == name:
            return node
    raise UserError(
        f"{where} of the checkpoint calls {target}, which no option in conf/{group} does; only values are taken from a "
        f"file. Give {where} on the command line."
    )


@cache
def load_option(group: str, name: str) -> dict[str, Any]:
    """Content of an option of a config group, with that of the options it builds upon."""
    content: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))  # type: ignore[assignment]
    bases = content.pop("defaults", ["_self_"])
    parts = [content if base == "_self_" else load_option(group, base) for base in bases if isinstance(base, str)]
    return OmegaConf.to_container(OmegaConf.merge(*parts))  # type: ignore[return-value]


def _select(node: Mapping[str, Any], key: str) -> Any:
    for part in key.split(".") if key else ():
        node = node.get(part, {}) if isinstance(node, Mapping) else {}
    return node


def _accepts(target: str, key: str) -> bool:
    parameters = inspect.signature(get_object(target)).parameters
    return key in parameters or any(each.kind == each.VAR_KEYWORD for each in parameters.values())
