"""Record of a run for programs, summary of it for people."""

import logging
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trashlite.errors import UserError
from trashlite.files import to_json, write_text
from trashlite.sweeps.jobs import RECORD, read_record

log = logging.getLogger(__name__)


def write_record(folder: Path, record: dict[str, Any], resumed: bool = False) -> None:
    """Write the record of a run as JSON into its folder; numbers that are not finite become null.

    Args:
        resumed: this is a finished run taken up again: unless it finishes once more, what it recorded then stays.
    """
    earlier = read_record(folder) if resumed else {}
    finished = record.get("state") == "completed"
    if earlier.get("state") == "completed" and not finished:
        log.warning("%s keeps what the finished run recorded.", RECORD)
        return
    if not record.get("wandb_id"):  # W&B had nothing new to keep: its run of then is the run's still
        record = record | {key: earlier[key] for key in ("wandb_id", "wandb") if key in earlier}
    clean = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()
    }
    try:
        write_text(folder / RECORD, to_json(clean))
    except (OSError, UserError):
        if finished:  # else there is a better message on its way
            raise


def show_summary(record: dict[str, Any], console: Console) -> None:
    """Print what a run ends with: a table of figures, then the files, whose paths are never broken."""
    console.print(summary_table(record))
    for name in ("checkpoint", "submission", "wandb"):
        if place := record.get(name):
            console.print(Text(f"{name:<11}{short_path(place)}"), soft_wrap=True)


def short_path(place: str) -> str:
    """A path below the working directory as seen from there; any other place as it is."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else place


def summary_table(record: dict[str, Any]) -> Table:
    """Table of a run's figures; lines for which there is no figure are left out."""
    table = Table(title="Result", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    height, width = record["image_size"]
    table.add_row("backbone", record["backbone"])
    table.add_row("input", f"1 x 3 x {height} x {width} (height x width), {record['resize_mode']}")
    if "model/macs" in record:
        folded = ", BatchNorm folded" if record["fold_batchnorm"] else ""
        table.add_row("MACs", f"{record['model/macs']:,.0f} (thop{folded})")
        table.add_row("", f"{record['model/flop_counter_macs']:,.0f} (torch.utils.flop_counter)")
        table.add_row("parameters", f"{record['model/params']:,}")
    if plan := record.get("low_rank"):
        before, after = plan["macs_before"], plan["macs_after"]
        table.add_row(
            "low rank", f"{before:,} to {after:,} MACs of convolutions and linear layers ({after / before:.1%})"
        )
    if record.get("split") == "all":
        table.add_row(
            "trained on",
            f"all {record['train_images']:,} images of train and val for {record['epochs']} epochs; the last is kept, "
            "and no image is left to measure it by",
        )

    if verdicts := record.get("relabel"):
        changed, source = sum(verdicts["changed"].values()), Path(verdicts["file"]).name
        table.add_row("labels", f"{changed} changed, {verdicts['dropped']} images dropped by {source}")
    tested = record.get("tested_on")
    if "val/f1" in record and tested in (None, "test"):
        table.add_row("val F1", f"{record['val/f1']:.4f}")
    if "test/f1" in record:
        interval = f"95 % interval {record['test/interval_low']:.4f} to {record['test/interval_high']:.4f}"
        table.add_row(f"{tested} F1", f"{record['test/f1']:.4f} ({interval})")
        table.add_row("P(F1 ≥ floor)", f"{record['test/p_f1_above_floor']:.3f}")
    if "val/ece" in record:
        told = (
            f"{record['val/ece_before']:.3f}, with temperature {record['val/temperature']:.2f}: {record['val/ece']:.3f}"
        )
        table.add_row("calibration error", told)
    if "val/threshold" in record:
        table.add_row(
            "unknown", f"below {record['val/threshold']:.3f}; {record['val/coverage']:.1%} of val are answered"
        )
    score = record.get("test/score", record.get("val/score"))
    if score is not None:
        table.add_row(f"{tested or 'val'} score", f"{score:.4f} (lower is better)")
    table.add_row("minutes", f"{record['minutes']:.1f}")
    return table


def select_objective(names: list[str], record: dict[str, Any]) -> float | tuple[float, ...]:
    """Figures a sweep gets back, in the order of `names`.

    Raises:
        UserError: a name that was not measured, or a figure that is not a number: the job must count as failed.
    """
    known = sorted(name for name, value in record.items() if "/" in name and isinstance(value, int | float))
    for name in names:
        if name not in known:
            raise UserError(f"objective={name} was not measured by this run; choose from {', '.join(known)}.")
        if not math.isfinite(record[name]):
            raise UserError(f"The objective {name} is {record[name]}.")
    values = tuple(float(record[name]) for name in names)
    return values[0] if len(values) == 1 else values
