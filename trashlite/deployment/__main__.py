"""The shell's way to what this package does: `python -m trashlite.deployment --help`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trashlite.errors import UserError
from trashlite.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on stderr and exit code 1."""
    parsed = build_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """One sub-command for each thing to do with a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m trashlite.deployment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument("checkpoint", help="<run folder>/checkpoints/best.ckpt")
        return added

    robustness = command("robustness", run_robustness, "F1 under other resizes, compression, blur, noise and light")
    robustness.add_argument("--data", help="folder with train/ and val/; default: that of the checkpoint's run")

    export = command("export", run_export, "a folder that runs without this project, each format checked and timed")
    export.add_argument("--data", help="folder with train/ and val/; default: that of the checkpoint's run")
    export.add_argument("--format", default="onnx", help="several with commas; default: onnx")
    export.add_argument("--out", type=Path, help="folder; default: logs/exports/<name of the run>")
    export.add_argument("--max-drop", type=float, default=0.005, help="F1 that quantised formats may lose")
    return parser


def run_robustness(given: argparse.Namespace) -> None:
    """Print the table and write it beside the checkpoint."""
    from trashlite.deployment.data import open_labelled
    from trashlite.deployment.predictor import Predictor
    from trashlite.deployment.robustness import markdown_table, measure_robustness
    from trashlite.network import read_checkpoint

    _, val = open_labelled(read_checkpoint(given.checkpoint), given.data)
    rows = measure_robustness(Predictor.from_checkpoint(given.checkpoint), val)
    path = Path(given.checkpoint).with_suffix(".robustness.json")
    write_text(path, json.dumps({"images": len(val.files), "rows": [asdict(row) for row in rows]}, indent=2))
    print(f"{markdown_table(rows)}\n\n{len(val.files)} validation images; wrote {path}")


def run_export(given: argparse.Namespace) -> None:
    """Write the export and print its table."""
    from trashlite.deployment.export import export_checkpoint
    from trashlite.deployment.table import describe_machine, export_table

    formats = [name.strip() for name in given.format.split(",") if name.strip()]
    out, rows = export_checkpoint(given.checkpoint, formats, given.out, given.data, given.max_drop)
    print(f"{export_table(rows)}\n\n{describe_machine()}\nwrote {out}")


if __name__ == "__main__":
    sys.exit(main())
