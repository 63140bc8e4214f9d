"""Keep a finished run as a shipped recipe: python benchmarks/keep_recipe.py RUN results/trash9/NAME [seed1].

Writes best.ckpt without the state of training (optimizer, averages, loops) and run.json; of a run on train and val
(datamodule.split=all) final.ckpt and final.json; of another seed, named by the third argument, its record alone. In all
of them, the folders of the machine that trained are replaced: the data set becomes PATH, folders of runs become
logs/<name of the run>. Nothing else changes. Then `make calibrate` and `make submit` with the kept checkpoints make the
rest.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from trashlite.files import replacing, write_text
from trashlite.network import read_checkpoint

KEPT = ("epoch", "global_step", "pytorch-lightning_version", "hparams_name", "hyper_parameters", "macs", "config")


def without_folders(value: Any, folders: dict[str, str]) -> Any:
    """Plain data with the folders (old -> new) replaced in all its strings."""
    if isinstance(value, dict):
        return {key: without_folders(each, folders) for key, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each, folders) for each in value]
    if isinstance(value, str):
        for old, new in folders.items():
            value = value.replace(old, new)
    return value


def main() -> None:
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    run, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    checkpoint = read_checkpoint(run / "checkpoints" / "best.ckpt")
    data = checkpoint["config"]["datamodule"]
    folders = {str(data["root"]): "PATH", str(data["cache_dir"]): "data/cache", str(run.parent): "logs"}
    if teacher := checkpoint["config"]["lightning_module"].get("teacher"):
        folders[str(Path(teacher).parents[2])] = "logs"  # of <its run>/checkpoints/best.ckpt
    kept = without_folders({key: checkpoint[key] for key in KEPT}, folders)
    is_final = record.get("split") == "all"
    name = sys.argv[3] if sys.argv[3:] else "final" if is_final else "run"
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / f"{name}.json", json.dumps(without_folders(record, folders), indent=1))
    if not sys.argv[3:]:
        with replacing(out / ("final.ckpt" if is_final else "best.ckpt")) as temporary:
            torch.save(kept | {"state_dict": checkpoint["state_dict"]}, temporary)


if __name__ == "__main__":
    main()
