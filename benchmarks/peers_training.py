"""Training and measuring shared by all peers of benchmarks/low_rank.py: data, fine-tuning, F1 and latency."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peers_low_rank import total_macs
from recipe_tuning import distil
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from trashlite.batch_metrics import MacroF1
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.data.augmentation import BatchAugmentation, ColourJitter, RandomErasing, RandomGeometry
from trashlite.data.dataset import CachedImages
from trashlite.data.sampling import EpochSampler
from trashlite.losses import create_loss

CALIBRATION_IMAGES = 512  # for moments, sensitivity and BatchNorm statistics
TIMED_RUNS = 300
WARM_UP_RUNS = 30
# conf/augmentation/default.yaml
AUGMENTATION = BatchAugmentation(
    geometry=RandomGeometry(hflip=0.5, min_crop_area=0.6, max_crop_ratio=1.2, rotate=15.0, translate=0.05, shear=5.0),
    colour=ColourJitter(brightness=0.2, contrast=0.2, saturation=0.2),
    erasing=RandomErasing(probability=0.25, max_area=0.2),
)


class Images:
    """One part of the data, decoded, in memory."""

    def __init__(self, dataset: CachedImages, preprocessing: dict[str, Any], sampler: EpochSampler) -> None:
        self.images = torch.from_numpy(np.asarray(dataset.images))
        self.targets = torch.from_numpy(dataset.targets)
        self.mean, self.std = (torch.tensor(preprocessing[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        self.sampler = sampler

    def batches(
        self, order: Tensor, size: int, augment: Callable[[Tensor], Tensor] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images (N, 3, H, W), channels_last, and targets."""
        for chosen in order.split(size):
            images, targets = self.images[chosen].permute(0, 3, 1, 2).float().div_(255), self.targets[chosen]
            if augment:
                images = augment(images)
            images = images.sub(self.mean).div_(self.std)
            yield images.contiguous(memory_format=torch.channels_last), targets

    def shuffled(self, epoch: int) -> Tensor:
        self.sampler.set_epoch(epoch)
        return torch.tensor(list(self.sampler))


@dataclass
class Bench:
    """The trained network, its data, and what is done alike to all competitors."""

    args: argparse.Namespace
    model: nn.Module
    backbone: dict[str, Any]
    class_names: list[str]
    train: Images
    val: Images
    batch_size: int

    def __post_init__(self) -> None:
        order = self.train.shuffled(0)[:CALIBRATION_IMAGES]
        self.calibration = list(self.train.batches(order, self.batch_size))
        self.image = self.calibration[0][0][:1]
        self.macs = total_macs(self.model, self.image)
        self.folded = self.fold(self.model)
        self.loss = create_loss({"name": "cross_entropy", "label_smoothing": 0.1}, [1] * len(self.class_names))

    def fold(self, model: nn.Module) -> nn.Module:
        folded = fold_batchnorm(model, self.image.shape[1:])
        return folded.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def f1(self, model: nn.Module) -> float:
        """Macro F1 on the validation images."""
        metric = MacroF1(len(self.class_names))
        model.eval()
        for images, targets in self.val.batches(torch.arange(len(self.val.targets)), 256):
            metric.update(model(images), targets)
        return float(metric.compute())

    def calibration_loss(self, model: nn.Module) -> Tensor:
        """Loss of the calibration images, in eval mode."""
        model.eval()
        return torch.stack([self.loss(model(images), targets) for images, targets in self.calibration]).mean()

    def repair(self, model: nn.Module) -> None:
        """BatchNorm statistics over the calibration images."""
        reestimate_batchnorm(model, (images for images, _ in self.calibration))

    def fine_tune(self, model: nn.Module, epochs: int, lr: float) -> None:
        """AdamW, a cosine after a short warm-up, the default augmentation; with a teacher as the recipes do it.

        The same draws for everybody.
        """
        if self.args.teacher:
            distil(model, self.args, epochs, lr)
            return
        torch.manual_seed(self.args.seed)
        model.requires_grad_(True).train()
        steps = -(-len(self.train.targets) // self.batch_size) * epochs
        optimizer = create_optimizer_v2(model, "adamw", lr=lr, weight_decay=self.args.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, total_steps=max(steps, 2), pct_start=0.1, cycle_momentum=False, final_div_factor=100
        )
        for epoch in range(epochs):
            for images, targets in self.train.batches(self.train.shuffled(epoch), self.batch_size, AUGMENTATION):
                if len(images) > 1:  # BatchNorm cannot train on one image
                    optimizer.zero_grad()
                    self.loss(model(images), targets).backward()
                    optimizer.step()
                schedule.step()

    @torch.inference_mode()
    def latency(self, model: nn.Module) -> tuple[float, float]:
        """Median milliseconds for one image on one thread: the dense network's and the model's, run in turn."""
        torch.set_num_threads(1)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(TIMED_RUNS + WARM_UP_RUNS):
            for network, spent in zip((self.folded, model), times, strict=True):
                started = time.perf_counter()
                network(self.image)
                spent.append((time.perf_counter() - started) * 1000)
        torch.set_num_threads(self.args.threads)
        dense, other = (statistics.median(spent[WARM_UP_RUNS:]) for spent in times)
        return dense, other
