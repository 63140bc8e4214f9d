"""The table of recipes on a robot, as Markdown: python benchmarks/robot.py DATA [results/trash9].

A recipe is a folder with best.ckpt. Each is exported, judged from its files on the validation images of DATA, timed on
this machine on one thread, and shown the images through other resize kernels: "worst kernel" is the F1 of the one it
bears worst.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from trashlite.compression import count_macs
from trashlite.data.decode import kernel_of
from trashlite.deployment import Predictor
from trashlite.deployment.data import open_labelled
from trashlite.deployment.export import export_checkpoint
from trashlite.deployment.latency import describe_times
from trashlite.deployment.robustness import measure_robustness, worst_kernel
from trashlite.deployment.table import ExportRow
from trashlite.network import read_checkpoint

FORMATS = ("onnx", "int8", "c", "c_int8")
HEADINGS = (
    "recipe",
    "kernel",
    "M MACs",
    "val F1",
    "worst kernel",
    "torch ms",
    "ONNX ms",
    "int8 ms",
    "ONNX kB",
    "int8 kB",
    "int8 F1",
    "C flash / RAM kB",
    "C int8 flash / RAM kB",
    "C int8 F1",
)


def main(data: str, results: str = "results/trash9") -> None:
    """Print the table, the cheapest network first."""
    rows = sorted(recipe_row(path, data) for path in sorted(Path(results).glob("*/best.ckpt")))
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for _, cells in rows:
        print(f"| {' | '.join(cells)} |")
    print(f"\n{describe_times()}")


def recipe_row(checkpoint: Path, data: str) -> tuple[int, tuple[str, ...]]:
    """MACs of a recipe, and its row."""
    with tempfile.TemporaryDirectory() as folder:
        _, exported = export_checkpoint(checkpoint, FORMATS, Path(folder) / "export", data)
    torch_row, onnx, int8, c, c_int8 = exported
    predictor = Predictor.from_checkpoint(checkpoint)
    macs = count_macs(predictor.network, (3, *predictor.preprocessing["image_size"])).macs
    kernel = kernel_of(predictor.preprocessing)
    worst = worst_kernel(measure_robustness(predictor, open_labelled(read_checkpoint(checkpoint), data)[1]))
    cells = (
        f"`{checkpoint.parent.name}`",
        kernel,
        f"{macs / 1e6:.2f}",
        _f1(torch_row),
        f"{worst.f1:.4f} ({100 * worst.change:+.1f}, {worst.condition})",
        *(_number(row.p50_ms, ".3f") for row in (torch_row, onnx, int8)),
        *(_number(row.file_kb, ".0f") for row in (onnx, int8)),
        _f1(int8),
        *(f"{_number(row.flash_kb, '.0f')} / {_number(row.ram_kb, '.0f')}" for row in (c, c_int8)),
        _f1(c_int8),
    )
    print(f"{checkpoint.parent.name}: done", file=sys.stderr)
    return macs, cells


def _f1(row: ExportRow) -> str:
    return "–" if row.judgement is None else f"{row.judgement.f1:.4f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
