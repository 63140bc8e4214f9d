"""A program of milliseconds with objective x², to test sweeps without training; it says in calls.txt when it ran."""

import math
import os
import signal
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from hydra_plugins.trashlite.jobs import sweep_trial
from trashlite.errors import Pruned
from trashlite.reports.run_record import write_record


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | tuple[float, ...]:
    folder = Path(cfg.output_dir)
    with (folder.parent / "calls.txt").open("a") as file:
        file.write(f"{folder.name} {cfg.x!r}\n")
    if folder.name == str(cfg.kill_once):
        os.kill(os.getpid(), signal.SIGKILL)
    while cfg.get("wait_for") and not (folder.parent / cfg.wait_for).exists():
        time.sleep(0.05)
    if folder.name == str(cfg.hold):
        signal.pause()
    time.sleep(cfg.sleep)
    if cfg.x > cfg.fail_above:
        raise RuntimeError(f"x is {cfg.x}")
    if cfg.x > cfg.prune_above:
        raise Pruned(f"x is {cfg.x}")
    value = math.nan if cfg.x > cfg.nan_above else float(cfg.x) ** 2
    values = [value, abs(cfg.x - 1)][: len(cfg.objective)]
    figures = {"model/macs": abs(cfg.x), "objective": values, "trial": sweep_trial()}
    write_record(folder, {"state": "completed", **figures})
    return values[0] if len(values) == 1 else tuple(values)


if __name__ == "__main__":
    main()
