"""The shell's way to what this package does: `python -m trashlite.deployment --help`."""

import argparse
import io
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from trashlite.errors import UserError
from trashlite.files import check_replaceable, replacing_folder, user_error_in, write_text

BAD_TOLD = 10  # unreadable files that are named on the screen; all are in bad_images.txt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on stderr and exit code 1."""
    parsed = build_parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no UTF-8
    try:
        parsed.run(parsed)
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    except (UserError, OSError) as error:
        place = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(user_error_in(error) or place, file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """One sub-command for each thing to do with a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m trashlite.deployment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument("checkpoint", help="<run folder>/checkpoints/best.ckpt")
        return added

    predict = command("predict", run_predict, "a class and its probability for each image, in a table and a picture")
    predict.add_argument("source", help="image, folder, pattern in quotes, video file, or a camera's number")
    predict.add_argument("--out", type=Path, help="folder; default: logs/predictions/<time>")
    predict.add_argument("--device", default="cpu", help="such as cpu or cuda; default: cpu")

    calibrate = command("calibrate", run_calibrate, "probabilities to be believed, and when to answer unknown")
    calibrate.add_argument("--data", help="folder with train/ and val/; default: that of the checkpoint's run")
    calibrate.add_argument("--min-precision", type=float, help="share of answers that shall be right, such as 0.9")

    robustness = command("robustness", run_robustness, "F1 under other resizes, compression, blur, noise and light")
    robustness.add_argument("--data", help="folder with train/ and val/; default: that of the checkpoint's run")

    export = command("export", run_export, "a folder that runs without this project, each format checked and timed")
    export.add_argument("--data", help="folder with train/ and val/; default: that of the checkpoint's run")
    export.add_argument("--format", default="onnx", help="several with commas; default: onnx")
    export.add_argument("--out", type=Path, help="folder; default: logs/exports/<name of the run>")
    export.add_argument("--max-drop", type=float, default=0.005, help="F1 that quantised formats may lose")

    latency = commands.add_parser("latency", help=(text := "ms an image of several networks here, side by side"))
    latency.description = text
    latency.set_defaults(run=run_latency)
    latency.add_argument("checkpoints", nargs="+", help="the others are compared with the first")
    latency.add_argument("--format", default="torch,onnx,int8", help="several with commas; default: torch,onnx,int8")
    return parser


def run_predict(given: argparse.Namespace) -> None:
    """Write predictions.csv, contact_sheet.jpg and, where some could not be read, bad_images.txt."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trashlite.data.commands import write_csv
    from trashlite.deployment.predict import Answer, collect
    from trashlite.deployment.predictor import Predictor
    from trashlite.deployment.sources import open_source
    from trashlite.reports.pictures import image_grid, save_figure

    out = given.out or Path("logs/predictions") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    check_replaceable(out, ("predictions.csv", "contact_sheet.jpg", "bad_images.txt"), "folder of predictions")
    source = open_source(given.source)
    predictor = Predictor.from_checkpoint(given.checkpoint, given.device)
    if source.live:
        print("Ctrl-C ends it.", file=sys.stderr)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=source.total)

        def tell(answer: Answer) -> None:
            label = answer.prediction.label if answer.prediction else "unreadable"
            bar.update(
                task, advance=1, description=label if source.live else f"{bar.tasks[task].speed or 0:.0f} images/s"
            )

        found = collect(predictor, source, tell)
    if not found.rows:
        raise UserError(f"{source.name} gave no image: it is empty, or damaged from its beginning.")
    if not found.labels:
        raise UserError(
            f"None of {len(found.rows)} images of {source.name} could be read: {found.bad[0][0]}: {found.bad[0][1]}."
        )
    counts = ", ".join(f"{label} {count}" for label, count in found.labels.most_common())
    with replacing_folder(out) as folder:
        write_csv(folder / "predictions.csv", found.columns, found.rows)
        save_figure(image_grid(found.thumbnails, found.titles, title=counts), folder / "contact_sheet.jpg")
        if found.bad:
            write_text(folder / "bad_images.txt", "".join(f"{name}\t{why}\n" for name, why in found.bad))
    print(f"{counts}\n{len(found.rows)} images in {found.seconds:.1f} s: {found.per_second:.0f} images/s")
    for name, why in found.bad[:BAD_TOLD]:
        print(f"unreadable: {name}: {why}")
    if len(found.bad) > BAD_TOLD:
        print(f"… {len(found.bad)} unreadable in all: bad_images.txt")
    if source.total and len(found.rows) < 0.98 * source.total:  # the number of frames is often an estimate
        print(f"{len(found.rows)} of about {source.total} frames could be read: is the video damaged?")
    if source.others:
        print(f"{source.others} other files of the folder are no images by their names")
    print(f"wrote {out}")


def run_calibrate(given: argparse.Namespace) -> None:
    """Write the calibration, and a picture of it, beside the checkpoint."""
    from trashlite.calibration import calibrate, write_calibration
    from trashlite.deployment.data import open_labelled
    from trashlite.deployment.predictor import Predictor
    from trashlite.network import read_checkpoint
    from trashlite.reports.calibration import calibration_figure
    from trashlite.reports.pictures import save_figure

    _, val = open_labelled(read_checkpoint(given.checkpoint), given.data)
    logits = Predictor.from_checkpoint(given.checkpoint).logits(val.pixels)
    found = calibrate(logits, val.targets, given.min_precision)
    picture = save_figure(
        calibration_figure(logits, val.targets, found), Path(given.checkpoint).with_suffix(".calibration.png")
    )
    print(f"{found.in_words()}\nwrote {write_calibration(given.checkpoint, found)} and {picture}")


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
    """Write the export and print its figures."""
    from rich.console import Console

    from trashlite.deployment.export import export_checkpoint
    from trashlite.deployment.table import describe_machine, remarks, screen_table

    out, rows = export_checkpoint(given.checkpoint, _listed(given.format), given.out, given.data, given.max_drop)
    Console().print(screen_table(rows))
    print("\n".join(["", *remarks(rows), "", describe_machine(), f"wrote {out}"]))


def run_latency(given: argparse.Namespace) -> None:
    """Print a row for each format and checkpoint."""
    from trashlite.deployment.compare import compare, latency_table
    from trashlite.deployment.latency import describe_times

    print(f"{latency_table(compare(given.checkpoints, _listed(given.format)))}\n\n{describe_times()}")


def _listed(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("Which formats? Give some with FORMAT=, with commas between them.")
    return names


if __name__ == "__main__":
    sys.exit(main())
