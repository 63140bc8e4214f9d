"""Figures of a run in `metrics.csv`."""

import warnings
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only


def create_csv_logger(save_dir: str) -> CSVLogger:
    """Logger to `metrics.csv` in the run's folder; a file from before a resume becomes `metrics_1.csv`, ..."""
    # Lightning warns that it deletes former files, which is why they are moved away.
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")
    set_aside(Path(save_dir) / "metrics.csv")
    return CSVLogger(save_dir, name="", version="")


@rank_zero_only
def set_aside(path: Path) -> None:
    """Rename a file to the next free number; nothing where there is none."""
    if path.exists():
        number = 1 + len(list(path.parent.glob(f"{path.stem}_*{path.suffix}")))
        path.rename(path.with_name(f"{path.stem}_{number}{path.suffix}"))
