"""Data sets in the competition's layout, for Lightning.

Long by its settings, each of which has an argument here and a line in the docstring.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.loaders import evaluation_loader, training_loader
from trashlite.data.augmentation import BatchAugmentation
from trashlite.data.augmentation.draws import image_keys, new_keys
from trashlite.data.cache import BadImage, Rows
from trashlite.data.dataset import CachedImages
from trashlite.data.decode import ResizeKernel, ResizeMode
from trashlite.data.folder import DataFolder, absent_classes, listed
from trashlite.data.layout import HOW_TO_GET_DATA, UNLABELLED
from trashlite.data.preprocess import OVERSAMPLED, PICKED, augmented_batch, evaluation_batch, preprocess
from trashlite.data.sampling import Sampling
from trashlite.data.split import stratified_split
from trashlite.errors import UserError
from trashlite.files import write_text

Split = Literal["given", "merge", "all"]
OnBadImage = Literal["skip", "raise"]


class TrashDataModule(pl.LightningDataModule):
    """Train, val, test and unlabelled images below `root`, decoded once into a cache, augmented by the batch.

    Args:
        root: folder in the competition's layout (see `trashlite.data.layout`).
        image_size: (height, width) in pixels.
        resize_mode: `stretch`, `letterbox` or `landscape` (see `trashlite.data.decode`).
        resize_kernel: `bilinear` or `box`, likewise.
        mean, std: of the RGB channels in [0, 1], for normalising.
        batch_size, eval_batch_size: images a batch in training / elsewhere.
        num_workers: processes that gather batches; with a warm cache 0 is fast.
        val_ratio: share of each class set aside where val comes from train.
        split: `given` takes val/ where it has images; `merge` puts train and val together and splits anew; `all`
            trains on both and validates on nothing (`has_val`).
        fold: `k/n` (k from 1): validate on the k-th of n stratified folds of train and val together.
        seed: of splits and of the order of training images.
        sampling, smoothing_k: see `trashlite.data.sampling.EpochSampler`.
        on_bad_image: `skip` sets unreadable images aside, with one warning and a list in `bad_images.txt`;
            `raise` stops. Unlabelled images always all stay.
        cache_dir: where decoded images are kept; may be deleted at any time.
        report_dir: where `bad_images.txt` goes (default: `cache_dir`).
        augmentation: of training images; where it mixes them, batches get soft targets (N, classes) and `mixed_from`,
            the share (N, N) that each image has of those that were loaded.
        class_names: fixes the classes and their order, as a checkpoint needs.
        train_fraction: share of the training images used, stratified, for quick trials.
        oversample: training images are augmented at so many times the size and then averaged down, which keeps crops
            and turns as sharp as the images of evaluation; 1: augmented at the size itself.
        relabel: CSV file `file,label` of labels to be changed or images to be dropped (see `trashlite.data.relabel`).

    `show_views` gives the training images a fixed number of augmentations, `show_also` shows them at a second size.

    Raises (in `prepare_data` and `setup`):
        UserError: no data, classes that do not fit, an impossible split, a cache folder that is not writable.
    """

    train_dataset: CachedImages
    val_dataset: CachedImages
    test_dataset: CachedImages | None = None
    predict_dataset: CachedImages | None = None

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: Sequence[int] = (64, 64),
        resize_mode: ResizeMode = "stretch",
        resize_kernel: ResizeKernel = "bilinear",
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        batch_size: int = 64,
        eval_batch_size: int = 256,
        num_workers: int = 0,
        val_ratio: float = 0.15,
        split: Split = "given",
        fold: str | None = None,
        seed: int = 0,
        sampling: Sampling = "none",
        smoothing_k: float = 100.0,
        on_bad_image: OnBadImage = "skip",
        cache_dir: str | Path = "data/cache",
        report_dir: str | Path | None = None,
        augmentation: BatchAugmentation | None = None,
        class_names: Sequence[str] | None = None,
        train_fraction: float = 1.0,
        oversample: int = 1,
        relabel: str | Path | None = None,
    ) -> None:
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        settings.pop("augmentation")
        super().__init__()
        # Plain values: a checkpoint loads with weights_only. logger=False: the run logs its whole config.
        self.save_hyperparameters({name: _plain(value) for name, value in settings.items()}, logger=False)
        choices = {
            "split": Split,
            "on_bad_image": OnBadImage,
            "resize_mode": ResizeMode,
            "resize_kernel": ResizeKernel,
            "sampling": Sampling,
        }
        for name, known in choices.items():
            if settings[name] not in get_args(known):
                raise UserError(f"datamodule.{name}={settings[name]!r} is none of {', '.join(get_args(known))}.")
        if split == "all" and fold is not None:
            raise UserError(
                f"datamodule.split=all keeps no image for validation, fold={fold} does: choose one of them."
            )
        if len(image_size) != 2 or min(image_size) < 1:
            raise UserError(f"datamodule.image_size must be [height, width] in pixels, not {list(image_size)}.")
        if not 0 < train_fraction <= 1:
            raise UserError(f"datamodule.train_fraction must lie above 0 and up to 1, not {train_fraction}.")
        if oversample not in range(1, 9):
            raise UserError(f"datamodule.oversample must be a whole number from 1 to 8, not {oversample}.")
        self.root = Path(root).expanduser()
        self.augmentation = augmentation
        self.class_names: list[str] = [str(name) for name in class_names or ()]
        self.class_counts: list[int] = []
        self.preprocessing: dict[str, Any] = {
            "image_size": [int(side) for side in image_size],
            "resize_mode": str(resize_mode),
            **({} if resize_kernel == "bilinear" else {"kernel": str(resize_kernel)}),
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
        }
        self.views = 0
        """So many augmentations of each training image, over and over; 0: always new ones."""
        self._also: dict[str, Mapping[str, Any]] = {}
        self._folder: DataFolder | None = None

    @property
    def has_val(self) -> bool:
        """Whether labelled images are kept out of training, to choose an epoch by and to judge the network."""
        return self.hparams["split"] != "all"

    @property
    def tested_on(self) -> Literal["test", "val"]:
        """Part that `test_dataloader` gives: the labelled test images where there are any, else val."""
        return "val" if self.test_dataset is None else "test"

    @property
    def relabelled(self) -> dict[str, Any] | None:
        """Outcome of the verdicts in `relabel`, for the record of the run."""
        return self.folder.relabelled

    def find_classes(self) -> list[str]:
        """The classes, before any image is decoded."""
        return self.folder.layout.class_names

    def prepare_data(self, stage: str | None = None) -> None:
        """Decode what a stage, by default the trainer's, needs into the cache: only unlabelled images for `predict`."""
        if stage is None and self.trainer and self.trainer.state.fn:
            stage = str(self.trainer.state.fn.value)
        if stage != "predict":
            self.folder.open("labelled")
            self.folder.open("test")
        self.folder.open("unlabelled")

    def setup(self, stage: str | None = None) -> None:
        """Open the data sets: only the unlabelled one for `predict`, all for any other stage."""
        layout = self.folder.layout
        if not self.class_names:
            raise UserError(
                f"There are no classes in {str(self.root)!r} (train/<Class>). Images to predict alone need a "
                f"checkpoint, which brings its classes.\n{HOW_TO_GET_DATA}"
            )
        if stage != "predict" and not hasattr(self, "train_dataset"):
            self._setup_labelled()
        if layout.unlabelled and self.predict_dataset is None:
            self.predict_dataset = self.folder.open("unlabelled")
            self._report(self.predict_dataset.bad, "given the most frequent class, so that each file has a row")

    @property
    def folder(self) -> DataFolder:
        """The files below `root`; from the first look at them on the classes are known."""
        if self._folder is None:
            settings = {"relabel": self.hparams["relabel"], "strict": self.hparams["on_bad_image"] == "raise"}
            folder = DataFolder(self.root, self.preprocessing, self.hparams["cache_dir"], self.class_names, **settings)
            layout = folder.layout
            self._folder, self.class_names = folder, layout.class_names
            counts = Counter(record.class_name for record in layout.train)
            self.class_counts = [counts[name] for name in self.class_names]
            for warning in layout.warnings:
                rank_zero_warn(f"{self.root}: {warning}")
        return self._folder

    def _setup_labelled(self) -> None:
        how = {name: self.hparams[name] for name in ("split", "fold", "val_ratio", "seed")}
        train, self.val_dataset = self.folder.train_and_val(**how)
        if self.hparams["train_fraction"] < 1 and len(train):
            kept, _ = stratified_split(train.targets, 1 - self.hparams["train_fraction"], self.hparams["seed"])
            train = train.subset(kept, train.bad)
        large = [side * self.hparams["oversample"] for side in self.preprocessing["image_size"]]
        also: dict[str, dict[str, Any]] = {OVERSAMPLED: {"image_size": large}} if self.hparams["oversample"] > 1 else {}
        if self.augmentation is not None and self.augmentation.camera.aliased:
            also[PICKED] = {"image_size": large, "kernel": "nearest"}
        self._open_also(train, {name: {**self.preprocessing, **changes} for name, changes in also.items()})
        self.train_dataset = train
        files = self.class_counts
        self.class_counts = np.bincount(train.targets, minlength=len(self.class_names)).tolist()
        self.test_dataset = self.folder.test()
        judged = {"val": self.val_dataset if self.has_val else None, "test": self.test_dataset}
        for warning in absent_classes(self.class_names, files, self.class_counts, judged):
            rank_zero_warn(warning)
        self._report([*self.folder.open("labelled").bad, *self.folder.open("test").bad], "left out")

    @rank_zero_only
    def _report(self, bad: list[BadImage], fate: str) -> None:
        if not bad:
            return
        # Each stage reports its own: the list holds all that were opened so far.
        report = Path(self.hparams["report_dir"] or self.hparams["cache_dir"]) / "bad_images.txt"
        write_text(report, listed(self.folder.bad) + "\n")
        rank_zero_warn(
            f"{len(bad)} images cannot be read and are {fate}. All are listed in {report}; the first: {listed(bad[:1])}"
        )

    def train_dataloader(self) -> DataLoader:
        """Training batches in the order of `EpochSampler`."""
        names = ("batch_size", "sampling", "smoothing_k", "seed", "num_workers")
        settings = {name: self.hparams[name] for name in names}
        return training_loader(self._some(self.train_dataset, "training"), self.trainer, **settings)

    def val_dataloader(self) -> DataLoader:
        """Validation batches, in the order of the files."""
        if not self.has_val:
            raise UserError("datamodule.split=all keeps no image for validation.")
        return self._evaluation_loader(self.val_dataset, "validation")

    def test_dataloader(self) -> DataLoader:
        """Labelled test images, or validation images where there are none (`tested_on` says which)."""
        if self.test_dataset is None:
            return self.val_dataloader()
        return self._evaluation_loader(self.test_dataset, "test")

    def predict_dataloader(self) -> DataLoader:
        """Every file of test/NoLabel, unreadable ones as black images (`predict_dataset.bad` says which)."""
        return self._evaluation_loader(self.predict_dataset, f"test/{UNLABELLED}")

    def _evaluation_loader(self, dataset: CachedImages | None, kind: str) -> DataLoader:
        size, workers = self.hparams["eval_batch_size"], self.hparams["num_workers"]
        return evaluation_loader(self._some(dataset, kind), self.trainer, size, workers)

    def _some(self, dataset: CachedImages | None, kind: str) -> CachedImages:
        if not dataset:
            raise UserError(f"There are no readable {kind} images in {str(self.root)!r}.\n{HOW_TO_GET_DATA}")
        return dataset

    def evaluation_batches(
        self, dataset: CachedImages, device: torch.device, count: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of preprocessed images (N, 3, H, W) and targets (N,), without augmentation.

        Args:
            dataset: one of this datamodule's.
            count: so many images at random, always the same; None: all, in order.
        """
        positions = np.arange(len(dataset))
        if count is not None:
            positions = np.random.default_rng(0).permutation(positions)[:count]
        size = self.hparams["eval_batch_size"]
        for start in range(0, len(positions), size):
            batch = dataset.__getitems__(positions[start : start + size].tolist())
            yield preprocess(batch["image"].to(device), self.preprocessing), batch["target"].to(device)

    def show_views(self, views: int) -> None:
        """Show each training image in `views` augmentations that depend on `seed` alone, in turn with the epochs.

        The batch gets `view` and `row`, int64 (N,), whose `image_keys` show the same again. Where sampling draws an
        image more than once an epoch, its views are drawn too.
        """
        self.views = views
        self.augmentation = self.augmentation or BatchAugmentation()

    def show_also(self, preprocessings: Mapping[str, Mapping[str, Any]]) -> None:
        """Put the same training images, augmented alike, into the batch in other preprocessings, by the names given."""
        self._also = dict(preprocessings)
        self.augmentation = self.augmentation or BatchAugmentation()
        self._open_also(self.train_dataset, self._also)

    def _open_also(self, images: CachedImages, preprocessings: Mapping[str, Mapping[str, Any]]) -> None:
        for name, preprocessing in preprocessings.items():
            images.also[name] = Rows(self.folder.labelled_images(preprocessing).file, images.images.rows)

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Make `image` float32 (N, 3, H, W) in channels_last memory, normalised; augmented in training."""
        if self.trainer is not None and self.trainer.training:
            return self.augmented(batch)
        return evaluation_batch(batch, self.preprocessing)

    def augmented(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch of `train_dataset` as training sees it: augmented, mixed, normalised, in all sizes asked for."""
        if self.augmentation is None:
            return evaluation_batch(batch, self.preprocessing)
        batch, index, keys = dict(batch), batch["index"], None
        if self.views:
            batch["view"] = self._choose_views(index)
            batch["row"] = torch.from_numpy(self.train_dataset.images.rows).to(index.device)[index]
            keys = image_keys(self.hparams["seed"], batch["view"], batch["row"])
        elif self._also:
            keys = new_keys(index)
        sizes = {**self._also, "image": self.preprocessing}
        return augmented_batch(batch, self.augmentation, sizes, keys, len(self.class_names))

    def _choose_views(self, index: Tensor) -> Tensor:
        if self.hparams["sampling"] == "none":
            return torch.full_like(index, self.trainer.current_epoch % self.views)  # type: ignore[union-attr]
        return torch.randint_like(index, self.views)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
