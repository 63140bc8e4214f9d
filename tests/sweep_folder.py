"""Folders as the jobs of a sweep leave them, without running any."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trashlite.metrics import competition_score


def write_job(folder: Path, *overrides: str, hydra: str = ".hydra", **record: Any) -> Path:
    """A job's folder; without `record` the job never came to its end. `f1` and `macs` are completed by the rest."""
    (folder / hydra).mkdir(parents=True, exist_ok=True)
    (folder / hydra / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    if "f1" in record:
        f1, macs = record.pop("f1"), record.pop("macs", 2_000_000)
        score = None if f1 is None else competition_score(f1, macs)
        figures = {"val/f1": f1, "model/macs": macs, "model/params": macs // 10, "val/score": score}
        record = {"state": "completed", "minutes": 1.5, **figures, **record}
    if record:
        (folder / "run.json").write_text(json.dumps({"overrides": list(overrides), **record}))
    return folder


def write_sweep(folder: Path, jobs: int = 12, seed: int = 0) -> Path:
    """A sweep over learning rate, backbone and, for one of the backbones only, width; wider is better and dearer."""
    rng = np.random.default_rng(seed)
    for number in range(jobs):
        lr, backbone = float(10 ** rng.uniform(-4, -2)), str(rng.choice(["lcnet_035", "block_net"]))
        settings = [f"optimizer.lr={lr}", f"backbone={backbone}"]
        width = int(rng.choice([8, 16, 32]))
        if backbone == "block_net":
            settings.append(f"backbone.kwargs.width={width}")
        f1 = 0.4 + 0.01 * width - 0.05 * abs(np.log10(lr) + 3)
        write_job(folder / str(number), *settings, f1=float(f1), macs=100_000 * width + number)
    return folder
