"""The runs of a cross-validation: where they lie, and which of them are finished."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from trashlite.errors import UserError
from trashlite.files import to_json, write_text
from trashlite.sweeps.jobs import VAL_PREDICTIONS, read_record

SETTINGS = "crossval.json"
FIRST_SEED = 42


class FoldRun(NamedTuple):
    """The run that validates on one fold with one seed."""

    folder: Path
    fold: str
    """`k/n`."""
    seed: int

    @property
    def last(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    def is_finished(self) -> bool:
        return read_record(self.folder).get("state") == "completed" and (self.folder / VAL_PREDICTIONS).is_file()


def fold_folder(seed: int, fold: str) -> str:
    """Name of a run's folder."""
    return f"seed{seed}_fold{fold.replace('/', 'of')}"


def fold_runs(folder: Path, folds: int, seeds: int) -> list[FoldRun]:
    """All runs of a cross-validation, whether they are there yet or not, by seed and fold."""
    return [
        FoldRun(folder / fold_folder(seed, fold), fold, seed)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for fold in (f"{number}/{folds}" for number in range(1, folds + 1))
    ]


def read_settings(folder: Path) -> dict[str, Any]:
    """Plan of the runs in a folder: `folds`, `seeds`, `overrides`.

    Raises:
        UserError: no cross-validation does.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return {"folds": int(found["folds"]), "seeds": int(found["seeds"]), "overrides": list(found["overrides"])}
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no cross-validation: {SETTINGS} is not there.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder / SETTINGS} is damaged: remove the folder, or choose another with OUT=.") from error


def release(folder: Path) -> None:
    """Forget that something runs there."""
    (folder / SETTINGS).unlink(missing_ok=True)


def claim(folder: Path, folds: int, seeds: int, overrides: list[str]) -> None:
    """Note in the folder what runs there; of a known one the number of seeds may change, and all until one has trained.

    Raises:
        UserError: it holds something else.
    """
    if (folder / SETTINGS).is_file():
        earlier = read_settings(folder)
        differing = [name for name, value in (("folds", folds), ("overrides", overrides)) if earlier[name] != value]
        runs = fold_runs(folder, earlier["folds"], earlier["seeds"])
        if differing and any(each.last.is_file() or each.is_finished() for each in runs):
            told = " and ".join(f"{name}={earlier[name]}" for name in differing)
            raise UserError(f"{folder} holds another cross-validation, of {told}: choose another folder with OUT=.")
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there and holds no cross-validation: choose another folder with OUT=.")
    write_text(folder / SETTINGS, to_json({"folds": folds, "seeds": seeds, "overrides": overrides}) + "\n")
