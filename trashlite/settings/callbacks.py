"""Settings of callbacks and loggers."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trashlite.settings.types import (
    AtLeast1,
    Below1,
    Count,
    EpochFigure,
    Group,
    NotNegative,
    Part,
    Positive,
    Seed,
    Text,
    mistake,
)

Mode = Literal["min", "max"]
RatioShare = Annotated[float, Field(gt=0, le=1)]


class ModelCheckpoint(Part):
    targets: ClassVar = ("callbacks.best_checkpoint.ModelCheckpoint",)

    dirpath: Text
    filename: Text
    monitor: EpochFigure | None = None
    mode: Mode = "min"
    verbose: bool = False
    save_last: bool | Literal["link"] | None = None
    save_top_k: Annotated[int, Field(ge=-1)] = 1
    save_on_exception: bool = False
    save_weights_only: bool = False
    auto_insert_metric_name: bool = True
    every_n_train_steps: Count | None = None
    every_n_epochs: Count | None = None
    save_on_train_epoch_end: bool | None = None
    enable_version_counter: bool = True


class EarlyStopping(Part):
    targets: ClassVar = ("callbacks.early_stopping.EarlyStopping",)

    monitor: EpochFigure
    mode: Mode
    patience: Count
    min_delta: NotNegative = 0.0
    verbose: bool = False
    strict: bool = True
    check_finite: bool = True
    stopping_threshold: float | None = None
    divergence_threshold: float | None = None
    check_on_train_epoch_end: bool | None = None
    log_rank_zero_only: bool = False


class LearningRateMonitor(Part):
    targets: ClassVar = ("pytorch_lightning.callbacks.LearningRateMonitor",)

    logging_interval: Literal["epoch", "step"] | None
    log_momentum: bool = False
    log_weight_decay: bool = False


class EMA(Part):
    targets: ClassVar = ("callbacks.ema.WarmUpEMA",)

    decay: Below1


class EpochSeed(Part):
    targets: ClassVar = ("callbacks.epoch_seed.EpochSeed",)

    seed: Seed | None


class MacsLogger(Part):
    targets: ClassVar = ("callbacks.macs.MacsLogger",)

    max_macs: Positive | None
    fold_batchnorm: bool
    print_table: bool


class TrialPruning(Part):
    targets: ClassVar = ("callbacks.pruning.TrialPruning",)

    monitor: Any  # objective[0], which is checked there; measured at each epoch only where a sweep prunes
    trial: Any
    pruner: Any


class Threads(Part):
    targets: ClassVar = ("callbacks.threads.Threads",)

    threads: Literal["auto"] | AtLeast1 | None
    again: Positive = 120.0
    min_steps: Count = 100


class Calibration(Part):
    targets: ClassVar = ("callbacks.calibration.ProbabilityCalibration",)

    output_dir: Text
    min_precision: RatioShare | None


class Media(Part):
    targets: ClassVar = ("callbacks.media.ResultPictures",)

    output_dir: Text
    mistakes: Count


class PredictionsWriter(Part):
    targets: ClassVar = ("callbacks.predictions.PredictionsWriter",)

    output_dir: Text


class SubmissionWriter(Part):
    targets: ClassVar = ("callbacks.submission.SubmissionWriter",)

    output_dir: Text


class EpochProgress(Part):
    targets: ClassVar = ("callbacks.progress.EpochProgress",)


class Slimming(Part):
    targets: ClassVar = ("callbacks.slimming.Slimming",)

    output_dir: Text
    budget: Positive | None
    rounds: AtLeast1
    multiple: AtLeast1
    calibration_images: AtLeast1
    bn_images: AtLeast1
    fold_batchnorm: bool


class LowRank(Part):
    targets: ClassVar = ("callbacks.low_rank.LowRankDecomposition",)

    output_dir: Text
    policy: Literal["ratio", "energy", "budget", "sensitivity", "plan"] | None
    budget: Positive | dict[str, Positive]
    weights: dict[str, Positive] | None
    ratio: RatioShare | dict[Literal["svd", "tucker", "spatial"], RatioShare]
    energy: RatioShare
    plan: Text | None
    data_aware: bool
    calibration_images: AtLeast1
    kinds: dict[Literal["linear", "pointwise", "depthwise", "conv"], str | list[str]] | None
    exclude: list[str]
    multiple: AtLeast1
    min_rank: AtLeast1
    bn_images: Count
    freeze: Literal["none", "all_but_factors", "all_but_convs"]
    fold_batchnorm: bool


class Parts(Group):
    """Parts by name, each of which null switches off; one's own need nothing but a `_target_`."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def own_parts_have_targets(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if value is not None and not (isinstance(value, dict) and isinstance(value.get("_target_"), str)):
                raise mistake(f"{name}={value} needs a _target_, the dotted path of its class, or null")
        return self


class Callbacks(Parts):
    epoch_seed: EpochSeed | None = None
    slimming: Slimming | None = None
    low_rank: LowRank | None = None
    macs: MacsLogger | None = None
    ema: EMA | None = None
    best_checkpoint: ModelCheckpoint | None = None
    last_checkpoint: ModelCheckpoint | None = None
    pruning: TrialPruning | None = None
    early_stopping: EarlyStopping | None = None
    learning_rate: LearningRateMonitor | None = None
    threads: Threads | None = None
    progress: EpochProgress | None = None
    calibration: Calibration | None = None
    media: Media | None = None
    predictions: PredictionsWriter | None = None
    submission: SubmissionWriter | None = None


class Wandb(Part):
    targets: ClassVar = ("loggers.wandb.create_wandb_logger",)

    project: Text
    save_dir: Text
    name: Text | None
    group: Text | None
    default_group: Text | None = None
    job_type: Text | None
    tags: list[str]
    notes: str | None
    mode: Literal["auto", "online", "offline", "disabled"]
    log_model: bool
    init_timeout: Positive
    finish_timeout: Positive
    run_id: Text | None = None
    resume: Text | None = None


class Csv(Part):
    targets: ClassVar = ("loggers.csv.create_csv_logger",)

    save_dir: Text


class Loggers(Parts):
    wandb: Wandb | None = None
    csv: Csv | None = None
