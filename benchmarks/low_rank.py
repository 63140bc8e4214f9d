"""Comparison of ways to cut a trained network's MACs: ours, simpler decompositions, and two peers, alike.

    python benchmarks/low_rank.py --checkpoint logs/runs/…/checkpoints/best.ckpt --data PATH --out results.json

Each row is written as it is done (JSON, and Markdown beside it); the same command again goes on where it stopped.
Peers need `pip install -r requirements-bench.txt`.

Long by its methods, one entry each.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from peers_low_rank import narrow, prune, search
from peers_training import CALIBRATION_IMAGES, Bench, Images
from recipe_tuning import SPLIT_SETTINGS

from datamodules.trash import TrashDataModule
from lightning_modules.classifier import TrashClassifier
from trashlite.compression.low_rank import RankPlan, apply_plan, collect_moments, select_ranks
from trashlite.compression.low_rank.ranks import Policy
from trashlite.compression.macs import count_macs
from trashlite.compression.slimming import apply_channel_plan, round_budgets, slim
from trashlite.data.sampling import EpochSampler
from trashlite.errors import UserError
from trashlite.files import write_text
from trashlite.network import read_checkpoint

# key of a row: heading and format
COLUMNS = {
    "target": ("target", "{:.0%}"),
    "method": ("method", "{}"),
    "setting": ("setting", "{}"),
    "share": ("share", "{:.1%}"),
    "macs": ("MACs", "{:,}"),
    "thop": ("thop", "{:,}"),
    "f1_raw": ("F1 as it is", "{:.4f}"),
    "f1_batchnorm": ("F1 BatchNorm", "{:.4f}"),
    "f1": ("F1 tuned", "{:.4f}"),
    "ms": ("ms", "{:.2f}"),
    "dense_ms": ("dense ms", "{:.2f}"),
    "seconds": ("decomposing s", "{:.1f}"),
    "minutes": ("tuning min", "{:.2f}"),
}
ON_SCREEN = [key for key in COLUMNS if key not in ("setting", "macs", "thop", "seconds", "minutes")]

Built = tuple[nn.Module, str]


def decompose(bench: Bench, share: float, policy: Policy, *, data_aware: bool = False) -> Built:
    """Ranks by a policy of ours that meets the share itself."""
    moments = collect_moments(bench.model, bench.calibration) if data_aware else None
    plan = select_ranks(bench.model, bench.image, policy, budget=share, moments=moments, calibration=bench.calibration)
    return apply_plan(bench.model, plan, moments), f"{len(plan.layers)} layers"


def decompose_by_setting(bench: Bench, share: float, policy: Policy) -> Built:
    """Ranks by a policy that knows no budget: its setting (`ratio` or `energy`) is searched to meet the share."""

    def plan(setting: float) -> RankPlan:
        return select_ranks(bench.model, bench.image, policy, **{policy: setting})  # type: ignore[arg-type]

    setting = search(lambda setting: plan(setting).macs_after, share * bench.macs)
    found = plan(setting)
    return apply_plan(bench.model, found), f"{policy} {setting:.4f}, {len(found.layers)} layers"


def slim_channels(bench: Bench, share: float, rounds: int = 1) -> Built:
    """Fewer channels in place of lower ranks; BatchNorm is repaired between rounds."""
    model, dropped = bench.model, list[str]()
    for budget in round_budgets(model, bench.image, share, rounds):
        if model is not bench.model:
            bench.repair(model)
        plan = slim(model, (images for images, _ in bench.calibration), bench.image, budget)
        model, dropped = apply_channel_plan(model, plan), [*dropped, *plan.dropped]
    return model, f"{rounds} round(s)" + (f", without {', '.join(dropped)}" if dropped else "")


def prune_channels(bench: Bench, share: float, *, everywhere_alike: bool = False, taylor: bool = False) -> Built:
    loss = bench.calibration_loss if taylor else None
    return prune(bench.model, bench.image, share * bench.macs, everywhere_alike=everywhere_alike, loss=loss)


# method: (how, what it is)
METHODS: dict[str, tuple[Callable[[Bench, float], Built], str]] = {
    "dense": (lambda bench, _: (apply_plan(bench.model, RankPlan()), "as trained"), "the trained network"),
    "ratio": (partial(decompose_by_setting, policy="ratio"), "the same ratio of all ranks"),
    "energy": (partial(decompose_by_setting, policy="energy"), "the same energy kept in all layers"),
    "budget_plain": (partial(decompose, policy="budget"), "least error of the weights"),
    "budget": (partial(decompose, policy="budget", data_aware=True), "least error of the outputs"),
    "sensitivity": (partial(decompose, policy="sensitivity", data_aware=True), "least rise of the loss"),
    "slim": (slim_channels, "channels dropped by how little they move the logits (`make slim`, in one round)"),
    "slim_rounds": (partial(slim_channels, rounds=3), "the same in three rounds, as `make slim` does"),
    "narrow": (
        lambda bench, share: narrow(bench.backbone, len(bench.class_names), bench.image, share * bench.macs),
        "peer: fewer channels, trained from scratch",
    ),
    "prune_alike": (
        partial(prune_channels, everywhere_alike=True),
        "peer: torch-pruning by magnitude, the same share of each layer",
    ),
    "prune_global": (prune_channels, "peer: torch-pruning by magnitude, over all layers at once"),
    "prune_taylor": (partial(prune_channels, taylor=True), "peer: torch-pruning by Taylor importance, likewise"),
}


def measure(bench: Bench, method: str, share: float | None) -> dict[str, Any]:
    """One row of the table; without figures where the method cannot do it, and why as its `setting`."""
    row: dict[str, Any] = {"method": method, "target": share}
    torch.manual_seed(bench.args.seed)
    started = time.monotonic()
    try:
        model, row["setting"] = METHODS[method][0](bench, share or 1.0)
    except UserError as error:
        return {**row, "setting": str(error)}
    row["seconds"] = time.monotonic() - started
    model = model.to(memory_format=torch.channels_last)
    started = time.monotonic()
    if method == "narrow":
        bench.fine_tune(model, bench.args.scratch_epochs, bench.args.scratch_lr)
    else:
        row["f1_raw"] = bench.f1(model)
        bench.repair(model)
        row["f1_batchnorm"] = bench.f1(model)
        bench.fine_tune(model, bench.args.epochs, bench.args.lr)
    row["f1"] = bench.f1(model)
    row["minutes"] = (time.monotonic() - started) / 60
    folded = bench.fold(model)
    report = count_macs(folded, bench.image.shape[1:])
    row |= {"macs": report.flop_counter_macs, "thop": report.macs, "params": report.params}
    row["share"] = report.flop_counter_macs / bench.macs
    row["dense_ms"], row["ms"] = bench.latency(folded)
    return row


def write(path: Path, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The rows as JSON, and as Markdown beside it."""
    write_text(path, json.dumps({"settings": settings, "rows": rows}, indent=1))
    table = [[heading for heading, _ in COLUMNS.values()], ["---"] * len(COLUMNS)]
    table += [[cell.replace("\n", " ").replace("|", "/") for cell in cells(row)] for row in rows]
    lines = ["| " + " | ".join(line) + " |" for line in table]
    lines += ["", *(f"- `{name}`: {what}" for name, (_, what) in METHODS.items())]
    lines += ["", *(f"- {key}: {value}" for key, value in settings.items()), ""]
    write_text(path.with_suffix(".md"), "\n".join(lines))


def cells(row: dict[str, Any], columns: Iterable[str] = COLUMNS) -> list[str]:
    return [COLUMNS[key][1].format(row[key]) if row.get(key) is not None else "–" for key in columns]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path, help="what it was trained on: root/train/<Class>, …")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.7, 0.5, 0.35], help="of the dense MACs")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--epochs", type=int, default=5, help="of fine-tuning, the dense network too")
    parser.add_argument("--lr", type=float, default=1e-3, help="of fine-tuning")
    parser.add_argument("--scratch-epochs", type=int, help="of `narrow` (default: the checkpoint's run and --epochs)")
    parser.add_argument("--scratch-lr", type=float, default=4e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--teacher", type=Path, help="train every row as the trash9 recipes do, with this checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="latency always has one")
    parser.add_argument("--cache-dir", type=Path, default=Path("data/cache"), help="of decoded images")
    parser.add_argument("--out", type=Path, default=Path("logs/low_rank.json"))
    return parser.parse_args()


def open_bench(args: argparse.Namespace) -> tuple[Bench, dict[str, Any]]:
    """The network and its data split as in its own training, and what the record says about them."""
    config = OmegaConf.create(read_checkpoint(args.checkpoint)["config"])
    if args.scratch_epochs is None:
        args.scratch_epochs = int(config.trainer.max_epochs) + args.epochs
    classifier = TrashClassifier.load_from_checkpoint(args.checkpoint, map_location="cpu")
    data = TrashDataModule(
        args.data,
        **classifier.preprocessing,
        **{key: config.datamodule[key] for key in SPLIT_SETTINGS},
        class_names=classifier.class_names,
        cache_dir=args.cache_dir,
    )
    data.setup("fit")
    keys = ("sampling", "smoothing_k")
    sampler = EpochSampler(data.train_dataset.targets, **{k: data.hparams[k] for k in keys}, seed=args.seed)
    train, val = (Images(part, data.preprocessing, sampler) for part in (data.train_dataset, data.val_dataset))
    backbone, batch_size = classifier.hparams["backbone"], int(config.datamodule.batch_size)
    bench = Bench(args, classifier.model.eval(), backbone, data.class_names, train, val, batch_size)
    chosen = ("epochs", "lr", "scratch_epochs", "scratch_lr", "weight_decay", "seed")
    settings = {
        "checkpoint": str(args.checkpoint.resolve()),
        "backbone": backbone["name"],
        "start weights of the checkpoint's run": str(config.backbone.pretrained or config.backbone.weights or "random"),
        "epochs of the checkpoint's run": int(config.trainer.max_epochs),
        "image size": classifier.preprocessing["image_size"],
        "training images": len(train.targets),
        "validation images": len(val.targets),
        "calibration images": min(CALIBRATION_IMAGES, len(train.targets)),
        "batch size": batch_size,
        **{name: getattr(args, name) for name in chosen},
        **({"teacher": str(args.teacher.resolve())} if args.teacher else {}),
    }
    return bench, settings


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    bench, settings = open_bench(args)
    rows: list[dict[str, Any]] = []
    if args.out.is_file():
        record = json.loads(args.out.read_text(encoding="utf-8"))
        if changed := [key for key in settings if record["settings"].get(key) != settings[key]]:
            raise UserError(f"{args.out} was made with other settings ({', '.join(changed)}): choose another --out")
        rows = [row for row in record["rows"] if "f1" in row]  # what could not be done is tried again
    todo = [(method, None) for method in args.methods if method == "dense"]
    todo += [(method, share) for share in args.shares for method in args.methods if method != "dense"]
    console = Console()
    for method, share in todo:
        if any((row["method"], row["target"]) == (method, share) for row in rows):
            continue
        with console.status(f"{method} at {share or 1:.0%} of {bench.macs:,} MACs"):
            row = measure(bench, method, share)
        rows = sorted([*rows, row], key=lambda row: (-(row["target"] or 1), list(METHODS).index(row["method"])))
        write(args.out, settings, rows)
        console.print(escape("  ".join(cells(row))), highlight=False)
    shown = Table(
        title=f"{bench.backbone['name']}: {bench.macs:,} MACs, F1 on {len(bench.val.targets)} images", box=SIMPLE
    )
    for key in ON_SCREEN:
        shown.add_column(COLUMNS[key][0], justify="left" if key == "method" else "right", no_wrap=key == "method")
    for row in rows:
        shown.add_row(*cells(row, ON_SCREEN))
    console.print(shown)
    console.print(f"wrote {args.out} and {args.out.with_suffix('.md')}", highlight=False)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
