"""Pictures of a data set: how many images, of what sizes, and what the network sees of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trashlite.data.dataset import CachedImages
from trashlite.data.photograph import PhotographFile
from trashlite.reports.pictures import image_grid, save_figure

SPLITS = ("train", "val", "test", "predict")


def show_data(datamodule: Any, out_dir: str | Path, num_images: int = 64) -> list[Path]:
    """Print the class counts and write three pictures of the data set as PNG.

    The pictures: images per class and split; widths, heights and aspect ratios of the original files; a grid
    of training images as the network gets them, augmented.

    Args:
        datamodule: after `setup()`; a split that is missing or empty is left out.
        out_dir: folder of the pictures, made if need be.
        num_images: in the grid, at most; every class has its turn.

    Returns:
        The files written.
    """
    counts = count_classes(datamodule)
    Console().print(_table(counts, datamodule.class_names))
    sizes = read_sizes([path for dataset in _datasets(datamodule).values() for path in dataset.paths])
    images, titles = augmented_images(datamodule, num_images)
    figures = {
        "class_counts.png": class_counts_figure(counts, datamodule.class_names),
        "image_sizes.png": sizes_figure(sizes, datamodule.preprocessing["image_size"]),
        "train_images.png": image_grid(images, titles, title="Training images, augmented"),
    }
    return [save_figure(figure, Path(out_dir) / name) for name, figure in figures.items()]


def count_classes(datamodule: Any) -> dict[str, list[int]]:
    """Images of each split: one count for each class, then the unlabelled ones."""
    classes = len(datamodule.class_names)
    return {
        # Unlabelled images have target -1: counted after the last class.
        split: np.bincount(dataset.targets % (classes + 1), minlength=classes + 1).tolist()
        for split, dataset in _datasets(datamodule).items()
    }


def read_sizes(paths: Sequence[Path]) -> np.ndarray:
    """Upright (width, height) of image files, int64 (N, 2), from their headers; unreadable ones are left out."""
    sizes = [file.size for file in map(PhotographFile.read, paths) if not file.why]
    return np.array(sizes, np.int64).reshape(-1, 2)


def augmented_images(datamodule: Any, num_images: int) -> tuple[list[np.ndarray], list[str]]:
    """Training images after augmentation as uint8 (H, W, 3), the classes in turn, and their titles."""
    dataset = datamodule.train_dataset
    order = np.random.default_rng(0).permutation(len(dataset))
    turn = np.empty(len(dataset), np.int64)  # how many of its class come before an image
    for label in np.unique(dataset.targets):
        of_class = order[dataset.targets[order] == label]
        turn[of_class] = np.arange(len(of_class))
    chosen = np.lexsort((dataset.targets, turn))[:num_images]

    batch = datamodule.augmented(dataset.__getitems__(chosen.tolist()))
    mean, std = (torch.tensor(datamodule.preprocessing[name]).view(3, 1, 1) for name in ("mean", "std"))
    images = ((batch["image"] * std + mean).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    return list(images.numpy()), [_title(target, datamodule.class_names) for target in batch["target"]]


def class_counts_figure(counts: dict[str, list[int]], class_names: Sequence[str]) -> Figure:
    """Bars of the images per class, one colour for each split."""
    rows = [*class_names, "unlabelled"] if any(split[-1] for split in counts.values()) else list(class_names)
    figure = Figure(figsize=(8, 1.2 + 0.2 * len(rows) * max(2, len(counts))), layout="constrained")
    axes = figure.add_subplot()
    thickness = 0.85 / len(counts)
    for position, (split, of_split) in enumerate(counts.items()):
        places = np.arange(len(rows)) + (position - (len(counts) - 1) / 2) * thickness
        bars = axes.barh(places, of_split[: len(rows)], thickness, label=f"{split} ({sum(of_split)})")
        axes.bar_label(bars, labels=[str(count or "") for count in of_split[: len(rows)]], fontsize=6, padding=2)
    axes.set_yticks(np.arange(len(rows)), rows, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("images")
    axes.legend()
    return figure


def sizes_figure(sizes: np.ndarray, image_size: Sequence[int]) -> Figure:
    """Histograms of widths, heights and aspect ratios, (N, 2) pixels, with the input size (H, W) marked."""
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    width, height, aspect = figure.subplots(1, 3)
    _histogram(width, sizes[:, 0], image_size[1], "width (pixels)")
    _histogram(height, sizes[:, 1], image_size[0], "height (pixels)")
    _histogram(aspect, sizes[:, 0] / sizes[:, 1], image_size[1] / image_size[0], "width / height")
    width.set_ylabel("images")
    figure.suptitle(f"Original sizes of {len(sizes)} images; dashed: input of the network")
    return figure


def _histogram(axes: Axes, values: np.ndarray, marked: float, label: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    if len(values):
        axes.hist(values, bins=np.geomspace(values.min() * 0.95, values.max() * 1.05, 40).tolist())
    axes.axvline(marked, color="black", linestyle="--")
    axes.set_xlabel(label)


def _datasets(datamodule: Any) -> dict[str, CachedImages]:
    found = {split: getattr(datamodule, f"{split}_dataset", None) for split in SPLITS}
    return {split: dataset for split, dataset in found.items() if dataset is not None and len(dataset)}


def _title(target: torch.Tensor, class_names: Sequence[str]) -> str:
    if target.ndim == 0:
        return class_names[int(target)]
    shares, labels = target.topk(min(2, len(class_names)))
    mixed = [(share, class_names[label]) for share, label in zip(shares.tolist(), labels.tolist(), strict=True)]
    return " + ".join(name if share > 0.995 else f"{name} {share:.0%}" for share, name in mixed if share > 0.005)


def _table(counts: dict[str, list[int]], class_names: Sequence[str]) -> Table:
    table = Table("class", title="Images per class and split")
    for split in counts:
        table.add_column(split, justify="right")
    for row, name in enumerate([*class_names, "unlabelled"]):
        of_row = [split[row] for split in counts.values()]
        if row < len(class_names) or any(of_row):
            table.add_row(escape(name), *(str(count or "") for count in of_row))
    table.add_section()
    table.add_row("all", *(str(sum(split)) for split in counts.values()))
    return table
