"""Network of a run kept as a backbone of its own: python -m trashlite.sweeps.keep_network RUN_FOLDER NAME

Writes conf/backbone/NAME.yaml, and prints the command that trains it.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from trashlite.errors import UserError
from trashlite.files import CONF, write_text
from trashlite.network import count_new
from trashlite.sweeps.jobs import read_record

CLASSES = 9  # where the run left no figure


def export_backbone(run_folder: Path, name: str, folder: Path = CONF / "backbone") -> tuple[Path, str]:
    """Write the backbone of a run into `folder`; comments tell where it is from, its MACs, and on which input.

    Returns:
        The file, and the command that trains the network on its input.

    Raises:
        UserError: no folder of a run, a run whose network came from a checkpoint, or a name that cannot be taken.
    """
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"\w[\w-]*", name) or path.exists():
        raise UserError(f"The backbone cannot be called {name!r}: choose a new name of letters, digits, - and _.")
    config_file = run_folder / ".hydra" / "config.yaml"
    if not config_file.is_file():
        raise UserError(f"{run_folder} is no folder of a run: there is no {config_file}.")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(config_file))
        (height, width), checkpoint, _, _ = (
            config[key] for key in ("image_size", "checkpoint", "backbone", "resize_mode")
        )
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise UserError(f"{config_file} is no configuration of a run: {error!r}") from error
    if checkpoint:
        raise UserError(f"The network of {run_folder} came from checkpoint={checkpoint}: export that run.")
    record = read_record(run_folder)
    macs = record.get("model/macs") or count(config, (height, width))
    f1 = f", val F1 {record['val/f1']:.4f}" if record.get("val/f1") is not None else ""
    command = f"python run.py backbone={name} 'image_size=[{height},{width}]' resize_mode={config['resize_mode']}"
    lines = [
        f"# From {run_folder}: {macs:,} MACs at {height}x{width} {config['resize_mode']}{f1}. Again:",
        f"# {command}",
        f"# At 64x64 it has {count(config, (64, 64)):,} MACs.",
    ]
    text = "\n".join(lines) + "\n" + yaml.safe_dump(config["backbone"], sort_keys=False, allow_unicode=True)
    write_text(path, text)
    return path, command


def count(config: dict[str, Any], size: tuple[int, int]) -> int:
    """MACs for one image of `size` (height, width), as a run of this configuration counts them."""
    name, kwargs = config["backbone"]["name"], config["backbone"]["kwargs"]
    return int(count_new(name, kwargs, CLASSES, size, fold=bool(config.get("fold_batchnorm"))).macs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the network of a run as conf/backbone/NAME.yaml.")
    parser.add_argument("run_folder", type=Path, help="such as logs/sweeps/nas/12")
    parser.add_argument("name", help="of the new backbone")
    arguments = parser.parse_args()
    try:
        path, command = export_backbone(arguments.run_folder, arguments.name)
    except UserError as error:
        sys.exit(str(error))
    print(f"Wrote {path}. Train it with:\n{command}")


if __name__ == "__main__":
    main()
