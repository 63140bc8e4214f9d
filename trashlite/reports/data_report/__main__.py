"""The shell's way to the report: python -m trashlite.reports.data_report DATA."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trashlite.data.commands import shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m trashlite.reports.data_report", description="What is wrong with a data set, as a page."
    )
    parser.add_argument("data", type=Path, help="folder with train/<Class> and, if there are, val/ and test/")
    parser.add_argument("--out", type=Path, help="folder of the report; default: logs/data_reports/<name of the data>")
    parser.add_argument("--out-of-fold", type=Path, help="out_of_fold.csv of make crossval, to judge the labels by")
    parser.add_argument("--relabel", type=Path, help="verdicts (file,label) that count as the labels")
    parser.add_argument("--no-network", action="store_true", help="leave out what needs features: faster by half")
    given = parser.parse_args(arguments)
    out = given.out or Path("logs", "data_reports", given.data.resolve().name or "data")
    with shown():
        from trashlite.reports.data_report.report import write_report

        sentences = write_report(
            given.data, out, network=not given.no_network, out_of_fold=given.out_of_fold, relabel=given.relabel
        )
        for sentence in sentences:
            print(f"- {sentence}")
        print(f"Written to {out / 'report.html'}")


if __name__ == "__main__":
    main()
