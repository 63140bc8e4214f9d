"""Best and last checkpoint of a run whose folder may have been moved or copied."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import callbacks

log = logging.getLogger(__name__)


class ModelCheckpoint(callbacks.ModelCheckpoint):
    """Lightning's, which after a resume looks for its files where they are now, not where they were written.

    It bears the same name because its state in a checkpoint goes by the name of the class.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert self.dirpath is not None
        folder, earlier = Path(self.dirpath), state_dict.get("best_model_path") or ""

        def here(path: str) -> str:
            file = folder / Path(path).name
            return str(file) if file.is_file() else ""  # Lightning removes what it calls a checkpoint, folders too

        best_k = {here(path): score for path, score in state_dict.get("best_k_models", {}).items() if here(path)}
        moved = {
            key: here(state_dict.get(key, "")) for key in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        is_whole = moved["best_model_path"] and (moved["kth_best_model_path"] in best_k or not self.monitor)
        if earlier and not is_whole:
            if self.monitor:
                best = folder / Path(earlier).name
                log.warning("%s is not there: the best epoch from now on counts as the best.", best)
            return
        super().load_state_dict({**state_dict, **moved, "best_k_models": best_k, "dirpath": self.dirpath})
