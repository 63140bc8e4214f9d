"""Command line that compares two runs, cross-validations or submissions: python -m trashlite.reports.compare A B."""

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console

from trashlite.errors import UserError
from trashlite.reports.agreement import agreement_of, show_agreement
from trashlite.reports.comparison import compare_predictions, show_comparison
from trashlite.reports.predictions import OUT_OF_FOLD, TEST_PREDICTIONS, holds_predictions, read_predictions
from trashlite.sweeps.jobs import VAL_PREDICTIONS

LABELLED = (OUT_OF_FOLD, TEST_PREDICTIONS, VAL_PREDICTIONS)  # the first that both have
SUBMISSIONS = ("submission.csv", "submission.json")


def compare(a: Path, b: Path, out: Path, console: Console) -> None:
    """Compare what two folders, or two files, have in common: predictions of labelled images, submissions, or both.

    Raises:
        UserError: they have nothing in common, or a file is not what it should be.
    """
    for path in (a, b):
        if not path.exists():
            raise UserError(f"{path} is not there: give the folder of a run or cross-validation, or a file of one.")
    labelled, submissions = common(a, b, LABELLED), common(a, b, SUBMISSIONS)
    if a.is_file() and b.is_file():
        labelled, submissions = ((a, b), None) if holds_predictions(a) and holds_predictions(b) else (None, (a, b))
    if not labelled and not submissions:
        raise UserError(
            f"{a} and {b} have neither predictions ({', '.join(LABELLED)}) nor submissions in common. A run without "
            "gets them by: python run.py fit=false checkpoint=<run folder>/checkpoints/best.ckpt"
        )
    if labelled:
        of_a, of_b = map(read_predictions, labelled)
        show_comparison(compare_predictions(of_a, of_b, str(a), str(b)), out, console)
    if submissions:
        show_agreement(agreement_of(*submissions), out, console)


def common(a: Path, b: Path, names: tuple[str, ...]) -> tuple[Path, Path] | None:
    """The first file of these names that both folders have; a file stands for itself, among those of its kind."""
    if any(path.is_file() and holds_predictions(path) != (names == LABELLED) for path in (a, b)):
        return None
    for name in names:
        pair = tuple(path / name if path.is_dir() else path for path in (a, b))
        if all(path.is_file() for path in pair) and (a.is_dir() or b.is_dir()):
            return pair  # type: ignore[return-value]
    return None


def default_folder(a: Path, b: Path) -> Path:
    """Folder named after both, by as much of their ends as tells them apart."""
    parts = [path.absolute().parts for path in (a, b)]
    ends = zip(*map(reversed, parts), strict=False)
    length = next((number for number, (one, other) in enumerate(ends, 1) if one != other), 1)
    names = [re.sub("[^a-zA-Z0-9.=-]+", "_", "/".join(each[-length:]))[-60:] for each in parts]
    return Path("logs/comparisons") / "_and_".join(names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("a", type=Path, help="folder of a run or cross-validation, or a file of predictions")
    parser.add_argument("b", type=Path, help="what it is compared with")
    parser.add_argument("--out", type=Path, help="folder for table and picture; default: logs/comparisons/<A>_and_<B>")
    given = parser.parse_args()
    try:
        compare(given.a, given.b, given.out or default_folder(given.a, given.b), Console())
    except UserError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
