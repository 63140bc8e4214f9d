"""Training throughput: our epochs beside the bare limit and beside plain PyTorch loops, in one run.

    python benchmarks/throughput.py                              # on the demo set
    python benchmarks/throughput.py datamodule=trash datamodule.root=PATH backbone=shufflenetv2

Arguments are overrides of `run.py`. All train the same network on the same images in the same order, in batches of the
same size; those that augment use our default augmentation, by the batch:

a  the bare limit: forward, backward and step on one batch that lies in memory
b  our epoch without augmentation: cache, sampler, normalising, metrics, logging
c  our epoch
d  a plain loop over our cache: what Lightning, metrics and logging cost is c beside it
e  a plain loop over the files, decoded in each epoch by 2 workers beside 1 thread: what the cache saves is d beside it

a to d have the number of threads that is fastest for a; e its best of all on 2 cores. They take turns, so that a
machine that changes its speed changes it for all. Quote the ratios.
"""

import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from datamodules.trash import TrashDataModule  # noqa: E402
from lightning_modules.job.parts import create_datamodule  # noqa: E402
from trashlite.data.decode import decode, decode_settings  # noqa: E402
from trashlite.threads import available_threads, use_fastest_threads  # noqa: E402

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
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[clock],
        logger=False,
        accelerator=cfg.trainer.accelerator,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(build_model(cfg, datamodule), datamodule=datamodule)
    datamodule.augmentation = augmentation
    return clock.images_per_second


def loop(cfg: DictConfig, datamodule: TrashDataModule, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Images per second of a plain training loop over (images, targets)."""
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


def bare(cfg: DictConfig, datamodule: TrashDataModule, steps: int | None = None) -> float:
    batch = next(iter(batches(datamodule)))
    return loop(cfg, datamodule, (batch for _ in range(steps or len(datamodule.train_dataloader()))))


def batches(datamodule: TrashDataModule) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the plain loops, from the cache."""
    for batch in map(datamodule.augmented, datamodule.train_dataloader()):
        yield batch["image"], batch["target"]


class Files(Dataset):
    """The training images, decoded when they are asked for."""

    def __init__(self, datamodule: TrashDataModule) -> None:
        self.dataset = datamodule.train_dataset
        self.settings = decode_settings(datamodule.preprocessing)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = decode(self.dataset.paths[index], **self.settings).copy()  # writable, as torch wants it
        return {"image": image, "target": int(self.dataset.targets[index]), "index": index}


def decoding(cfg: DictConfig, datamodule: TrashDataModule) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cached = datamodule.train_dataloader()
    loader = DataLoader(
        Files(datamodule), cached.batch_size, sampler=cached.sampler, drop_last=cached.drop_last, num_workers=2
    )
    augmented = map(datamodule.augmented, loader)
    speed = loop(cfg, datamodule, ((batch["image"], batch["target"]) for batch in augmented))
    torch.set_num_threads(threads)
    return speed


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")  # advice on settings chosen on purpose here
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        cfg = compose(
            "config", overrides=["datamodule.batch_size=64", *sys.argv[1:], f"output_dir={tempfile.gettempdir()}"]
        )
    datamodule = create_datamodule(cfg)
    if cfg.threads == "auto":
        use_fastest_threads(partial(bare, cfg, datamodule, WARM_UP + 2), available_threads())
    else:
        torch.set_num_threads(cfg.threads)
    contestants: dict[str, Callable[[], float]] = {
        "a  bare forward, backward, step": lambda: bare(cfg, datamodule),
        "b  our epoch, no augmentation": lambda: ours(cfg, datamodule, augment=False),
        "c  our epoch": lambda: ours(cfg, datamodule, augment=True),
        "d  plain loop over our cache": lambda: loop(cfg, datamodule, batches(datamodule)),
        "e  plain loop over files, 2 workers": lambda: decoding(cfg, datamodule),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, measure in contestants.items():
            speeds[name].append(measure())

    table = Table(
        title=f"{cfg.backbone.name}, {cfg.image_size[0]}x{cfg.image_size[1]}, batch {cfg.datamodule.batch_size}, "
        f"{torch.get_num_threads()} threads, {len(datamodule.train_dataset)} images"
    )
    for heading in ("", "images/s, median", "of a", "of e"):
        table.add_column(heading, justify="left" if not heading else "right")
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    limit, *_, reference = medians.values()
    for name, speed in medians.items():
        table.add_row(name, f"{speed:,.0f}", f"{speed / limit:.2f}", f"{speed / reference:.1f}")
    console = Console()
    console.print(table)
    _, _, epoch, cached, files = medians.values()
    parts = f"the cache gives {cached / files:.1f}, Lightning, metrics and logging {epoch / cached:.2f}"
    console.print(f"Our epoch is {epoch / files:.1f} times e: {parts}.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
