"""Report that a multirun ends with, and its command line for any folder of runs: make report DIR=FOLDER.

Hydra imports this module at every start; what takes time to import waits until a report is made.
"""

from __future__ import annotations

import atexit
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from trashlite.errors import UserError
from trashlite.files import CONF

if TYPE_CHECKING:
    from rich.console import Console


class SweepReport(Callback):
    """Report a multirun when it ends, however it ends.

    It reads what each job left in its own folder, so it is the same for every launcher.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        # Hydra skips `on_multirun_end` when a job failed or the sweep was stopped.
        atexit.register(report_in_new_process, Path(config.hydra.sweep.dir).resolve())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        no_report()
        report_now(Path(config.hydra.sweep.dir))


def no_report() -> None:
    """Make none at the end of this process: there was one, or nothing ran."""
    atexit.unregister(report_in_new_process)


def report_in_new_process(folder: Path) -> None:
    """At the end of a process no thread can be started in it, and W&B needs some."""
    from trashlite.reports.sweep.records import DEPTH, find_jobs

    if any(find_jobs(folder, DEPTH)):
        command = [sys.executable, "-m", "hydra_plugins.trashlite.report", str(folder)]
        subprocess.run(command, cwd=CONF.parent, stdout=sys.stderr.fileno(), check=False)


def report_now(folder: Path) -> None:
    from rich.console import Console

    report_to(Console(stderr=True), folder)


def report_to(console: Console, folder: Path) -> bool:
    """Write the report and show it; tell in one line what stood in the way, and return whether nothing did."""
    from hydra_plugins.trashlite._experiment import best_experiment
    from hydra_plugins.trashlite._track import log_to_wandb
    from trashlite.reports.sweep.report import write_report
    from trashlite.reports.sweep.show import show

    try:
        report = write_report(folder, best_experiment)
    except UserError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return False
    except OSError as error:
        console.print(f"Cannot write the report to {folder}: {error.strerror or error}.", markup=False, soft_wrap=True)
        return False
    log_to_wandb(report)
    show(report, console)
    return True


def main() -> None:
    from rich.console import Console

    if len(sys.argv) != 2:
        sys.exit("Which folder? python -m hydra_plugins.trashlite.report DIR, e.g. logs/multiruns/<time>")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("loggers").setLevel(logging.INFO)  # where W&B lies
    sys.exit(0 if report_to(Console(), Path(sys.argv[1])) else 1)


if __name__ == "__main__":
    main()
