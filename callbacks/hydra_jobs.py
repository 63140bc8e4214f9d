"""Around the jobs of Hydra: a usable output folder before, the record that each leaves there."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

RECORD = "run.json"


class CheckOutputFolder(Callback):
    """Stop with one clear line, before anything else, when the output folder cannot be written."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.check(config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.check(config.hydra.sweep.dir, "hydra.sweep.dir")

    @staticmethod
    def check(folder: str, key: str) -> None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            sys.stderr.write(f"Cannot write to {folder}: {error.strerror}. Choose another folder with {key}=PATH.\n")
            sys.exit(1)


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record a job left in its folder; empty where it left none."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
