"""The network of a run as a backbone of its own: python -m trashlite.sweeps.keep_network RUN_FOLDER NAME

Writes conf/backbone/NAME.yaml, which trains by itself: python run.py backbone=NAME
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from trashlite.backbones.factory import create_backbone
from trashlite.errors import UserError
from trashlite.files import write_text

BACKBONES = Path(__file__).resolve().parents[2] / "conf" / "backbone"


def export_backbone(run_folder: Path, name: str, folder: Path = BACKBONES) -> Path:
    """Write the backbone of a run into `folder`; comments tell where it is from, its MACs, and on which input.

    Raises:
        UserError: no folder of a run, a run whose network came from a checkpoint, or a name that cannot be taken.
    """
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"\w[\w-]*", name) or path.exists():
        raise UserError(f"The backbone cannot be called {name!r}: choose a new name of letters, digits, - and _.")
    config_file = run_folder / ".hydra" / "config.yaml"
    if not config_file.is_file():
        raise UserError(f"{run_folder} is no folder of a run: there is no {config_file}.")
    config: Any = OmegaConf.to_container(OmegaConf.load(config_file))
    if config["checkpoint"]:
        raise UserError(f"The network of {run_folder} came from checkpoint={config['checkpoint']}: export that run.")
    record_file = run_folder / "run.json"
    f1 = json.loads(record_file.read_text(encoding="utf-8")).get("val/f1") if record_file.is_file() else None
    height, width = config["image_size"]
    usual, here = (count(config["backbone"], size) / 1e6 for size in ((64, 64), (height, width)))
    text = f"# From {run_folder}. {usual:.2f} M MACs at 64x64.\n"
    text += f"# There at {height}x{width} {config['resize_mode']}, {here:.2f} M MACs"
    text += f", val F1 {f1:.4f}:\n" if f1 is not None else ":\n"
    text += f"# python run.py backbone={name} image_size=[{height},{width}] resize_mode={config['resize_mode']}\n"
    write_text(path, text + yaml.safe_dump(config["backbone"], sort_keys=False, allow_unicode=True))
    return path


def count(backbone: dict[str, Any], size: tuple[int, int]) -> int:
    """MACs of convolutions and matrix products for one image of `size` (height, width), with nine classes."""
    with torch.device("meta"), torch.no_grad():
        network = create_backbone(backbone["name"], 9, kwargs=backbone["kwargs"]).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size))
    return counter.get_total_flops() // 2


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the network of a run as conf/backbone/NAME.yaml.")
    parser.add_argument("run_folder", type=Path, help="such as logs/multiruns/<time>/12")
    parser.add_argument("name", help="of the new backbone")
    arguments = parser.parse_args()
    try:
        path = export_backbone(arguments.run_folder, arguments.name)
    except UserError as error:
        sys.exit(str(error))
    print(f"Wrote {path}. Train it with: python run.py backbone={arguments.name}")


if __name__ == "__main__":
    main()
