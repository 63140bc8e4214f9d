"""Sign of life that the job of a trial leaves in its folder: a job may outlive the sweeper that began it."""

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from trashlite.files import write_text
from trashlite.sweeps.jobs import RECORD
from trashlite.sweeps.processes import MARKER, Heartbeat, this_process


class JobProcess(Callback):
    """Marks the folder of a trial's job while it runs, so that a sweeper that goes on does not run the trial again."""

    def __init__(self) -> None:
        self.marker: Path | None = None

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Mark the folder.

        Raises:
            SystemExit: while the job waited in a queue its trial was given up, and run by another job.
        """
        trial = OmegaConf.select(config, "hydra.sweeper.trial")
        if not trial or "number" not in trial:
            return
        folder = Path(config.hydra.runtime.output_dir)
        marker = self.marker = folder / MARKER
        write_text(marker, json.dumps(this_process()))
        # Whoever gives a trial up leaves a record and then looks for the mark: one of the two sees the other.
        if (folder / RECORD).exists():
            self.on_job_end()
            raise SystemExit(f"The trial of {folder} was given up and runs elsewhere.")
        self.heartbeat = Heartbeat(marker.touch)
        self.heartbeat.__enter__()

    def on_job_end(self, *args: Any, **kwargs: Any) -> None:
        if self.marker:
            if hasattr(self, "heartbeat"):
                self.heartbeat.__exit__()
                del self.heartbeat
            self.marker.unlink(missing_ok=True)
            self.marker = None
