"""Training throughput: our epochs beside the bare limit and beside a plain PyTorch loop, in one run.

    python benchmarks/throughput.py                              # on the demo set
    python benchmarks/throughput.py datamodule=trash datamodule.root=PATH backbone=shufflenetv2_x0_5

Arguments are overrides of `run.py`. All four train the same network on batches of the same size:

a  the bare limit: forward, backward and step on one batch that lies in memory
b  our epoch without augmentation: cache, sampler, normalising, metrics, logging
c  our epoch with the default augmentation
d  ImageFolder, PIL, torchvision transforms with RandAugment, DataLoader with 2 workers

The four take turns, so that a machine that changes its speed changes it for all. Quote the ratios.
"""

import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from datamodules.trash import TrashDataModule  # noqa: E402
from lightning_modules.parts import create_datamodule  # noqa: E402

ROUNDS = 3
WARM_UP = 3  # steps that are not timed: allocation, autotuning


class Clock(Callback):
    """Images per second of each training epoch after the first steps, validation not counted."""

    def __init__(self) -> None:
        self.images_per_second = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        batch, batch_idx = args[1], args[2]
        if batch_idx + 1 == WARM_UP:
            self.images, self.started = 0, time.perf_counter()
        elif batch_idx + 1 > WARM_UP:
            self.images += len(batch["image"])
            self.images_per_second = self.images / (time.perf_counter() - self.started)


def build_model(cfg: DictConfig, datamodule: TrashDataModule) -> LightningModule:
    return instantiate(
        cfg.lightning_module,
        class_names=datamodule.class_names,
        class_counts=datamodule.class_counts,
        preprocessing=datamodule.preprocessing,
    )


def ours(cfg: DictConfig, datamodule: TrashDataModule, augment: bool) -> float:
    clock, augmentation = Clock(), datamodule.augmentation
    datamodule.augmentation = augmentation if augment else None
    trainer = Trainer(
        max_epochs=1, limit_val_batches=0, callbacks=[clock], logger=False, accelerator=cfg.trainer.accelerator,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(build_model(cfg, datamodule), datamodule=datamodule)
    datamodule.augmentation = augmentation
    return clock.images_per_second


def loop(cfg: DictConfig, datamodule: TrashDataModule, batches: Any) -> float:
    """A plain training loop over (images, targets)."""
    device = torch.device("cuda" if torch.cuda.is_available() and cfg.trainer.accelerator != "cpu" else "cpu")
    model = build_model(cfg, datamodule).model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    images = 0
    for number, (image, target) in enumerate(batches):
        if number == WARM_UP:
            images, started = 0, time.perf_counter()
        optimizer.zero_grad()
        logits = model(image.to(device, memory_format=torch.channels_last))
        cross_entropy(logits, target.to(device)).backward()
        optimizer.step()
        images += len(image)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - started)


def bare(cfg: DictConfig, datamodule: TrashDataModule) -> float:
    size = cfg.datamodule.batch_size
    image = torch.randn(size, 3, *cfg.image_size).contiguous(memory_format=torch.channels_last)
    target = torch.randint(len(datamodule.class_names), (size,))
    steps = len(datamodule.train_dataset) // size
    return loop(cfg, datamodule, ((image, target) for _ in range(steps)))


def plain(cfg: DictConfig, datamodule: TrashDataModule) -> float:
    transform = v2.Compose(
        [
            v2.Resize(tuple(cfg.image_size)), v2.RandAugment(), v2.RandomHorizontalFlip(), v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )  # fmt: skip
    dataset = ImageFolder(str(datamodule.root / "train"), transform)
    loader = torch.utils.data.DataLoader(dataset, cfg.datamodule.batch_size, shuffle=True, num_workers=2)
    return loop(cfg, datamodule, loader)


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")  # advice on settings chosen on purpose here
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        cfg = compose(
            "config", overrides=["datamodule.batch_size=64", *sys.argv[1:], f"output_dir={tempfile.gettempdir()}"]
        )
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    datamodule = create_datamodule(cfg)
    contestants: dict[str, Callable[[], float]] = {
        "a  bare forward, backward, step": lambda: bare(cfg, datamodule),
        "b  our epoch, no augmentation": lambda: ours(cfg, datamodule, augment=False),
        "c  our epoch, default augmentation": lambda: ours(cfg, datamodule, augment=True),
        "d  ImageFolder, PIL, RandAugment, 2 workers": lambda: plain(cfg, datamodule),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, measure in contestants.items():
            speeds[name].append(measure())

    table = Table(
        title=f"{cfg.backbone.name}, {cfg.image_size[0]}x{cfg.image_size[1]}, batch {cfg.datamodule.batch_size}, "
        f"{torch.get_num_threads()} threads, {len(datamodule.train_dataset)} images"
    )
    for heading in ("", "images/s, median", "of a", "of d"):
        table.add_column(heading, justify="left" if not heading else "right")
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    limit, *_, reference = medians.values()
    for name, speed in medians.items():
        table.add_row(name, f"{speed:,.0f}", f"{speed / limit:.2f}", f"{speed / reference:.1f}")
    console = Console()
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
