"""The page that `python run.py --help` shows, from the comments in conf/ and the schema of the settings."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trashlite.settings.comments import file_comments, group_comments, heading
from trashlite.settings.config import Config
from trashlite.settings.describe import annotation_of, describe, model_in

USAGE = """\
trashlite: train, count and squeeze image classifiers of about a million MACs

  python run.py [GROUP=CHOICE ...] [KEY=VALUE ...]

Examples
  python run.py                                       the demo set, no download
  python run.py datamodule=trash datamodule.root=PATH your photographs
  python run.py backbone=trashnet_2m 'image_size=[48,48]' trainer.max_epochs=30
  python run.py resume=RUN/checkpoints/last.ckpt      go on with a stopped run
  python run.py fit=false checkpoint=FILE             evaluate a network
  python run.py -m backbone=trashnet_1m,trashnet_2m   two runs
  python run.py -m +sweep=nas                         a search: docs/sweeps.md
  python run.py experiment=trash9 --help              this page for a recipe
  python run.py KEY=VALUE --cfg job                   show the settings only
  python run.py --hydra-help                          Hydra's own flags
"""
GROUPS = "Groups: GROUP=CHOICE takes conf/GROUP/CHOICE.yaml; * is what holds now"
SETTINGS = """
Settings: what holds now. Quote brackets: 'KEY=[1,2]'. Others: +KEY=VALUE
"""
COLUMN = 38


def help_page(conf: Path, choices: Mapping[str, Any], settings: Mapping[str, Any], width: int = 100) -> str:
    """The page of a composed configuration.

    Args:
        conf: folder of the configuration files.
        choices: group -> the file that was chosen.
        settings: plain containers, with references such as `${seed}` as they stand.
        width: of a line, characters.
    """
    top = file_comments(conf / "config.yaml")
    groups = [name for name in settings if (conf / name).is_dir()]
    lines = [USAGE, GROUPS]
    for name in [*groups, "experiment", "debug"]:
        lines += _group(conf / name, choices.get(name), top.get(f"defaults.{name}", ""), width)
    lines += _group(conf / "sweep", None, "a search with Optuna: -m +sweep=CHOICE", width)
    lines.append(SETTINGS)
    for key, value in settings.items():
        if key not in groups:
            lines += _settings(key, value, top, Config, key, width)
    for name in groups:
        comments = group_comments(conf / name, str(choices.get(name)))
        lines += ["", *textwrap.wrap(f"{name}: {comments[''] or top.get(f'defaults.{name}', '')}", width)]
        for key, value in settings[name].items():
            part = conf / name / f"{key}.yaml"
            about = heading(part) if isinstance(value, Mapping) and part.is_file() else ""
            lines += textwrap.wrap(f"  {name}.{key}: {about}", width, subsequent_indent="    ") if about else []
            schema = model_in(annotation_of(Config, name))
            lines += _settings(f"{name}.{key}", value, comments, schema, key, width)
    return "\n".join(lines) + "\n"


def _group(folder: Path, chosen: Any, about: str, width: int) -> Iterator[str]:
    options = sorted(file.stem for file in folder.glob("*.yaml"))
    shown = ", ".join(f"{option}*" if option == chosen else option for option in options)
    yield from textwrap.wrap(
        f"  {folder.name:<18}{about}: {shown}", width, subsequent_indent=" " * 20, break_on_hyphens=False
    )


def _settings(
    key: str, value: Any, comments: Mapping[str, str], schema: type[BaseModel] | None, path: str, width: int
) -> Iterator[str]:
    """A line for the setting at `key`, or for each one in it; `path` is its key in the file of `comments`."""
    name = path.rpartition(".")[2]
    annotation = annotation_of(schema, name) if schema is not None and name in schema.model_fields else Any
    if name.startswith("_") or (isinstance(value, str) and value.startswith("${")):
        return  # an instruction to Hydra, or what another setting says
    if isinstance(value, Mapping) and value:
        for each, setting in value.items():
            yield from _settings(f"{key}.{each}", setting, comments, model_in(annotation), f"{path}.{each}", width)
        return
    setting = f"  {key}={_shown(value)}"
    if len(setting) >= COLUMN:
        yield setting
        setting = ""
    text = comments.get(path) or describe(annotation)
    yield from textwrap.wrap(text, width, initial_indent=f"{setting:<{COLUMN}}", subsequent_indent=" " * COLUMN)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
