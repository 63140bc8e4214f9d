"""Checkpoint files of a run, whole or not there, with its configuration inside."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from trashlite.files import replacing


class RunCheckpointIO(TorchCheckpointIO):
    """Checkpoint plugin that writes beside the target, syncs and renames, and keeps the configuration under `config`.

    Lightning's own writes into $TMPDIR and moves: on another file system that is a copy, which a kill or a full disk
    cuts in the middle.

    Args:
        config: plain data, not resolved; a checkpoint alone tells how it was made.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save({**checkpoint, "config": self.config}, content)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)
