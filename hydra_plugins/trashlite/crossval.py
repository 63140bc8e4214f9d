"""Cross-validation: folds and seeds as Hydra multiruns, then their report.

The same command goes on where it was stopped: finished folds stay, one that was under way is resumed.
"""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from rich.console import Console

from trashlite.errors import UserError
from trashlite.overrides import quote
from trashlite.sweeps.folds import FoldRun, claim, fold_runs, release
from trashlite.sweeps.jobs import RECORD, read_record

RUN = Path(__file__).resolve().parents[2] / "run.py"
OURS = {"datamodule.fold", "datamodule.split", "seed", "group", "resume", "hydra.sweep.dir", "hydra.sweep.subdir"}
HAVE_SEEN = {"lightning_module.teacher", "checkpoint", "backbone.weights"}


def crossval(folder: Path, folds: int, seeds: int, overrides: list[str]) -> None:
    """Run what is not finished of all folds and seeds below `folder`.

    Raises:
        UserError: a setting that does not fit, another cross-validation in the folder, or a fold that failed.
    """
    if folds < 2 or seeds < 1:
        raise UserError(f"Cross-validation needs FOLDS=2 or more and SEEDS=1 or more, not {folds} and {seeds}.")
    check_overrides(overrides)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}. Choose another folder with OUT=.") from error
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            claim(folder, folds, seeds, overrides)
            run_waiting(fold_runs(folder, folds, seeds), folder, overrides)
    except Timeout as error:
        raise UserError(
            f"Another process is at work on {folder}: let it end, or stop it; then this goes on."
        ) from error


def run_waiting(runs: Sequence[FoldRun], folder: Path, overrides: list[str]) -> None:
    """Run those that are not finished; where not one could begin, the folder is given up again."""
    waiting = [each for each in runs if not each.is_finished()]
    if len(waiting) < len(runs):
        sys.stderr.write(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished already.\n")
    for each in waiting:
        if each.last.is_file():
            start([f"resume={quote(str(each.last))}"])
    for seed in dict.fromkeys(each.seed for each in waiting):
        if new := [each.fold for each in waiting if each.seed == seed and not each.last.is_file()]:
            start(multirun(folder, seed, new, overrides))
    if not any(each.folder.exists() for each in runs):
        release(folder)
        raise UserError("No run could begin: see above. Nothing of it is kept.")
    check_finished(waiting)


def check_overrides(overrides: list[str]) -> None:
    """Refuse what cannot be cross-validated, and warn of networks that may have seen the images held out."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise UserError(str(error)) from error
    keys = {each.key_or_group for each in parsed}
    if taken := sorted(keys & OURS):
        raise UserError(f"{', '.join(taken)}: cannot be set here; cross-validation sets folds, seeds and folders.")
    if several := [each.input_line for each in parsed if each.is_sweep_override()]:
        raise UserError(f"{several[0]}: one value, please; cross-validate each setting by itself and compare them.")
    if seen := sorted(keys & HAVE_SEEN):
        sys.stderr.write(f"{', '.join(seen)}: if that network has seen these images, the figures are too good.\n")


def multirun(folder: Path, seed: int, folds: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Arguments of the multirun that trains these folds, all in one group of W&B, which bears the folder's name."""
    return [
        "--multirun",
        *overrides,
        f"seed={seed}",
        f"datamodule.fold={','.join(folds)}",
        f"group={quote(folder.name)}",
        f"hydra.sweep.dir={quote(str(folder))}",
        "hydra.sweep.subdir='${fold_folder:${seed},${datamodule.fold}}'",
        "~hydra.callbacks.sweep_report",  # a report of its own comes when all are finished
    ]


def start(arguments: Sequence[str]) -> None:
    """Run `run.py` to its end; SIGTERM is handed on to it.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    process = subprocess.Popen([sys.executable, str(RUN), *arguments])

    def hand_on(signum: int, frame: FrameType | None) -> None:
        process.terminate()

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the terminal has sent it to both
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if code < 0 or code >= 128:
        raise KeyboardInterrupt


def check_finished(runs: Sequence[FoldRun]) -> None:
    """Raise UserError unless all of them are."""
    if left := [each.folder for each in runs if not each.is_finished()]:
        reason = read_record(left[0]).get("error") or f"it left no {RECORD}"
        raise UserError(f"{len(left)} runs are not finished. The first, {left[0]}: {reason}\nThe same command goes on.")


def default_folder(overrides: Sequence[str], folds: int) -> Path:
    """Folder named after the settings, so that the same command finds its own."""
    words = "_".join(_short(text) for text in overrides) or "default"
    return Path("logs/crossval") / f"{folds}fold_{re.sub('[^a-zA-Z0-9.=-]+', '_', words)[:100]}"


def _short(override: str) -> str:
    """`root=trash9` of `datamodule.root=/data/trash9`."""
    key, equals, value = override.partition("=")
    return f"{key.lstrip('+~').rpartition('.')[2]}{equals}{value.rstrip('/').rpartition('/')[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make crossval", description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder of the runs; default: logs/crossval/<settings>")
    parser.add_argument("overrides", nargs="*", help="settings of run.py, such as experiment=trash9")
    given = parser.parse_intermixed_args()
    folder = (given.out or default_folder(given.overrides, given.folds)).absolute()
    try:
        crossval(folder, given.folds, given.seeds, given.overrides)
        from trashlite.reports.crossval import report_crossval  # Hydra imports this file at every start

        report_crossval(folder, Console())
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on.")


if __name__ == "__main__":
    main()
