"""Settings of data and augmentation."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trashlite.settings.types import (
    AtLeast1,
    Count,
    ImageSize,
    NotNegative,
    Part,
    Positive,
    ResizeKernel,
    ResizeMode,
    Seed,
    Share,
    Text,
    mistake,
)

Mean = Annotated[list[Share], Field(min_length=3, max_length=3, description="three numbers from 0 to 1, one a channel")]
Std = Annotated[
    list[Annotated[float, Field(gt=1e-6, le=1)]],
    Field(min_length=3, max_length=3, description="three numbers above 0 and up to 1, one a channel"),
]


class DataModule(Part):
    targets: ClassVar = ("datamodules.trash.TrashDataModule", "datamodules.demo.DemoDataModule")

    root: Text
    demo_seed: Count = 0
    image_size: ImageSize
    resize_mode: ResizeMode
    resize_kernel: ResizeKernel
    mean: Mean | None
    std: Std | None
    batch_size: Annotated[int, Field(ge=2, description="a whole number of at least 2, as BatchNorm needs")]
    eval_batch_size: AtLeast1
    num_workers: Annotated[int, Field(ge=0, le=128)]  # a process each, also where a checkpoint asks for them
    split: Literal["given", "merge", "all"]
    val_ratio: Annotated[float, Field(gt=0, lt=1)]
    fold: Annotated[str, Field(pattern=r"^[1-9]\d*/[1-9]\d*$", description='"k/n", the k-th of n folds')] | None
    seed: Seed | None
    sampling: Literal["none", "balanced", "smoothed"]
    smoothing_k: Positive
    train_fraction: Annotated[float, Field(gt=0, le=1)]
    oversample: Annotated[int, Field(ge=1, le=8)]
    relabel: Text | None
    on_bad_image: Literal["skip", "raise"]
    cache_dir: Text
    report_dir: Text | None
    augmentation: Any  # checked where it is set
    class_names: list[str] | None = None

    @model_validator(mode="after")
    def nothing_is_kept_of_all(self) -> Self:
        if getattr(self, "split", None) == "all" and self.fold is not None:
            raise mistake(f"split=all keeps no image for validation, fold={self.fold} does: choose one of them")
        return self


class Geometry(Part):
    targets: ClassVar = ("trashlite.data.augmentation.RandomGeometry",)

    hflip: Share
    vflip: Share
    probability: Share
    min_crop_area: Annotated[float, Field(ge=0.01, le=1)]
    max_crop_ratio: Annotated[float, Field(ge=1, le=10)]
    rotate: Annotated[float, Field(ge=0, le=180)]
    translate: Share
    scale: Annotated[float, Field(ge=0, le=0.9)]
    shear: Annotated[float, Field(ge=0, le=40)]


class Colour(Part):
    targets: ClassVar = ("trashlite.data.augmentation.ColourJitter",)

    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    grey: Share


class Policy(Part):
    targets: ClassVar = ("trashlite.data.augmentation.RandAugment",)

    num_ops: Annotated[int, Field(ge=0, le=10)]
    magnitude: Annotated[float, Field(ge=0, le=10)]
    ops: Annotated[list[Text], Field(min_length=1)]


class Erasing(Part):
    targets: ClassVar = ("trashlite.data.augmentation.RandomErasing",)

    probability: Share
    min_area: Share
    max_area: Share
    max_ratio: Annotated[float, Field(ge=1, le=10)]
    fill: Literal["random", "mean"]

    @model_validator(mode="after")
    def areas_in_order(self) -> Self:
        if self.is_known and self.min_area > self.max_area:
            raise mistake("min_area must not be above max_area")
        return self


class Camera(Part):
    targets: ClassVar = ("trashlite.data.augmentation.RandomCamera",)

    kernels: Share
    aliased: Share = 0.0  # checkpoints of before do not have it
    exposure: Share
    white_balance: Share
    noise: Share
    jpeg: Share
    min_quality: Annotated[int, Field(ge=1, le=95)]


class Mixing(Part):
    targets: ClassVar = ("trashlite.data.augmentation.Mixing",)

    mixup: NotNegative
    cutmix: NotNegative
    probability: Share


class Augmentation(Part):
    targets: ClassVar = ("trashlite.data.augmentation.BatchAugmentation",)

    geometry: Geometry | None
    colour: Colour | None
    policy: Policy | None
    erasing: Erasing | None
    camera: Camera | None
    mixing: Mixing | None
