"""The table of the trained recipes in a folder, as Markdown: python benchmarks/recipes.py [results/trash9].

A recipe is a folder with best.ckpt and its run.json; seed*.json beside them are records of the same recipe with other
seeds, held_out.json beside the folders has F1 on images that nothing was chosen by. MACs, parameters, latency and size
are taken from the checkpoint, F1 and minutes from the records.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lightning_modules.classifier import TrashClassifier
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.macs import count_macs

HEADINGS = (
    "recipe | input | MACs (thop / flop_counter) | parameters | F1, held out | F1, val | seeds: mean ± sd (runs) "
    "| score | minutes | ms an image, 1 thread | checkpoint"
)
TIMED_SECONDS = 2.0


@torch.inference_mode()
def row(folder: Path) -> tuple[int, str]:
    """MACs of the recipe in a folder, and its row."""
    checkpoint = folder / "best.ckpt"
    classifier = TrashClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    size = (3, *classifier.preprocessing["image_size"])
    model = fold_batchnorm(classifier.model, size)
    macs = count_macs(model, size)
    image = torch.rand(1, *size).contiguous(memory_format=torch.channels_last)
    timer = Timer("model(image)", globals={"model": model, "image": image}, num_threads=1)
    milliseconds = timer.blocked_autorange(min_run_time=TIMED_SECONDS).median * 1000
    shipped = _read(folder / "run.json")
    known = folder.parent / "held_out.json"
    held_out = _read(known).get(folder.name) if known.is_file() else None
    records = (shipped, *map(_read, sorted(folder.glob("seed*.json"))))
    scores = [record["val/f1"] for record in records if "val/f1" in record]
    cells = (
        f"`{folder.name}`",
        f"{size[1]}x{size[2]}",
        f"{macs.macs:,} / {macs.flop_counter_macs:,}",
        f"{macs.params:,}",
        f"{held_out:.3f}" if held_out is not None else "",
        f"{shipped['val/f1']:.4f}" if "val/f1" in shipped else "",  # none where val was trained on
        f"{statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f} ({len(scores)})" if scores[1:] else "",
        f"{shipped['val/score']:.3f}" if "val/score" in shipped else "",
        f"{shipped['minutes']:.1f}",
        f"{milliseconds:.2f}",
        f"{checkpoint.stat().st_size / 1000:.0f} kB",
    )
    return macs.macs, " | ".join(cells)


def _read(record: Path) -> dict[str, Any]:
    return json.loads(record.read_text(encoding="utf-8"))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/trash9")
    found = [each.parent for each in folder.glob("*/best.ckpt") if (each.parent / "run.json").is_file()]
    if not found:
        sys.exit(f"{str(folder)!r} has no folder with best.ckpt and run.json in it.")
    print(f"| {HEADINGS} |\n|{' --- |' * (HEADINGS.count('|') + 1)}")
    for _, cells in sorted(map(row, found), reverse=True):
        print(f"| {cells} |")


if __name__ == "__main__":
    main()
