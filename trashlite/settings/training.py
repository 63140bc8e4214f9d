"""Settings of the network and of how it is trained."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from trashlite.settings.types import (
    AtLeast1,
    Batches,
    Below1,
    Count,
    Group,
    NotNegative,
    Part,
    Positive,
    Share,
    Text,
    mistake,
)


class BackboneArguments(Group):
    """Arguments of a network in timm's registry; beside the usual ones each has its own."""

    model_config = ConfigDict(extra="allow")

    drop_rate: Below1 = 0.0
    drop_path_rate: Below1 = 0.0
    channel_multiplier: Positive = 1.0
    depth_multiplier: Positive = 1.0


class Backbone(Group):
    name: Text
    kwargs: BackboneArguments
    pretrained: bool | Literal["lite0_imagenet"]
    weights: Text | None


ClassWeights = Annotated[
    Literal["balanced"] | list[NotNegative] | None,
    Field(description="balanced, one number of at least 0 for each class, or null"),
]
LOSS_SETTINGS = {
    "cross_entropy": {"label_smoothing", "class_weights"},
    "focal": {"gamma", "class_weights"},
    "logit_adjusted": {"tau", "class_weights"},
    "soft_f1": {"class_weights"},
    "sum": {"terms"},
}


class Loss(Group):
    name: Literal["cross_entropy", "focal", "logit_adjusted", "soft_f1", "sum"]
    label_smoothing: Share = 0.0
    gamma: NotNegative = 2.0
    tau: NotNegative = 1.0
    class_weights: ClassWeights = None
    terms: Annotated[list["Term"], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def only_its_own(self) -> Self:
        known = LOSS_SETTINGS[self.name] | {"name", "weight"}
        if foreign := sorted(self.model_fields_set - known):
            raise mistake(f"{self.name} has no {', '.join(foreign)}; it has {', '.join(sorted(known - {'weight'}))}")
        return self


class Term(Loss):
    weight: NotNegative = 1.0


class Optimizer(Group):
    name: Text
    lr: NotNegative
    weight_decay: NotNegative
    kwargs: dict[str, Any]


class Scheduler(Group):
    """Arguments of timm's `create_scheduler_v2`, but for those that follow from the training; lengths in epochs."""

    sched: Literal["cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant"]
    warmup_epochs: Count = 0
    warmup_lr: NotNegative = 0.0
    warmup_prefix: bool = False
    min_lr: NotNegative = 0.0
    cooldown_epochs: Count = 0
    decay_epochs: Positive | None = None  # of wsd and rsqrt below 1 a share
    decay_milestones: Annotated[list[AtLeast1], Field(min_length=1)] | None = None
    decay_rate: Positive = 0.1
    decay_fn: Literal["linear", "1-sqrt", "cosine", "power", "exp"] | None = None
    stable_timescale: Positive | None = None
    noise: Share | list[Share] | None = None
    noise_pct: Share = 0.67
    noise_std: NotNegative = 1.0
    noise_seed: Count = 42
    k_decay: Positive = 1.0
    cycle_limit: AtLeast1 = 1
    cycle_mul: Annotated[float, Field(ge=1)] = 1.0
    cycle_decay: Annotated[float, Field(gt=0, le=1)] = 1.0


class LightningModule(Part):
    targets: ClassVar = ("lightning_modules.classifier.TrashClassifier", "lightning_modules.distiller.Distiller")

    backbone: Any  # these are checked where they are set
    loss: Any
    optimizer: Any
    scheduler: Any
    score: Any
    teacher: Text | list[Text] | None = None
    soft_loss: Literal["kl", "standardised_kl", "correlation"] = "kl"
    temperature: Positive = 4.0
    alpha: Share = 0.5
    feature_weight: NotNegative = 0.0
    views: Count = 0


Precision = Literal[
    "32-true", "16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true", "32", "16", "bf16", "64", 32, 16, 64
]


Devices = Annotated[
    Literal["auto", -1]
    | AtLeast1
    | Annotated[list[Count], Field(min_length=1)]
    | Annotated[str, Field(pattern=r"^\d+(,\d*)*$")],
    Field(description="a number of devices, -1 or auto for all, or a list of them such as [0, 2]"),
]
Duration = Annotated[
    str, Field(pattern=r"^\d+:\d\d:\d\d:\d\d$", description="days:hours:minutes:seconds, as 00:01:30:00")
]


class Trainer(Part):
    """Arguments of Lightning's Trainer, but for the objects that other groups of settings make."""

    targets: ClassVar = ("pytorch_lightning.Trainer",)

    max_epochs: Count
    min_epochs: Count | None = None
    min_steps: Count | None = None
    max_time: Duration | dict[Literal["days", "hours", "minutes", "seconds"], Count] | None = None
    max_steps: Annotated[int, Field(ge=-1, description="a whole number of at least 1, or -1 for no limit")] = -1
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Devices
    num_nodes: AtLeast1 = 1
    strategy: Text = "auto"
    precision: Precision
    gradient_clip_val: NotNegative | None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    accumulate_grad_batches: AtLeast1 = 1
    check_val_every_n_epoch: AtLeast1
    val_check_interval: Batches | None = None
    log_every_n_steps: Count
    num_sanity_val_steps: Annotated[int, Field(ge=-1)] | None = None
    fast_dev_run: bool | AtLeast1 = False
    overfit_batches: Annotated[Count | Share, Field(description="a number of batches, or a share of them")] = 0
    limit_train_batches: Batches | None = None
    limit_val_batches: Batches | None = None
    limit_test_batches: Annotated[
        Batches | None, Field(description="a number of batches, or a share of them; no test at all: test=false")
    ] = None
    limit_predict_batches: Batches | None = None
    default_root_dir: Text | None = None
    enable_checkpointing: bool | None = None
    enable_progress_bar: bool | None = None
    enable_model_summary: bool | None = None
    enable_autolog_hparams: bool = True
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    inference_mode: bool = True
    use_distributed_sampler: bool = True
    sync_batchnorm: bool = False
    profiler: Literal["simple", "advanced", "pytorch", "xla"] | None = None
    detect_anomaly: bool = False
    barebones: bool = False
    reload_dataloaders_every_n_epochs: Count = 0
    model_registry: Text | None = None

    @model_validator(mode="after")
    def validated_at_least_once(self) -> Self:
        if self.is_known and 0 < self.max_epochs < self.check_val_every_n_epoch and not self.fast_dev_run:
            raise mistake(
                f"check_val_every_n_epoch={self.check_val_every_n_epoch} never comes: training ends after "
                f"max_epochs={self.max_epochs}, and the best checkpoint is chosen by validation"
            )
        return self
