"""The LightningModule: a small backbone that tells classes of trash apart."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightning_modules.optimizers import create_optimizer, create_scheduler
from trashlite.batch_metrics import create_metrics
from trashlite.compression import ChannelPlan, RankPlan, apply_channel_plan, apply_plan
from trashlite.errors import UserError
from trashlite.losses import create_loss
from trashlite.metrics import bootstrap_f1, competition_score
from trashlite.network import add_plan, build_network, fill, read_checkpoint, read_plans

Batch = dict[str, Tensor]
CALMER = "Lower optimizer.lr, lengthen scheduler.warmup_epochs, or set trainer.gradient_clip_val=1."


class TrashClassifier(LightningModule):
    """Train, validate, test and predict one backbone.

    Every argument is plain data and is saved in the checkpoint: one file rebuilds the model.

    Args:
        backbone: `name` in timm's registry, `kwargs` for it, `pretrained`, `weights`.
        class_names: in the order of the logits.
        class_counts: training images of each class, for losses that use priors or weights.
        preprocessing: `image_size` [height, width], `resize_mode`, `kernel`, `mean`, `std`.
        loss: settings of `create_loss`.
        optimizer: `name` (timm), `lr`, `weight_decay`, `kwargs`.
        scheduler: settings of timm's `create_scheduler_v2`, lengths in epochs.
        score: constants of `competition_score`.
        plans: of `add_plan`: the network is what they make of the backbone, in their order.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        class_names: Sequence[str],
        class_counts: Sequence[int],
        preprocessing: Mapping[str, Any],
        loss: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        score: Mapping[str, float],
        plans: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.class_names = list(class_names)
        self.preprocessing = dict(preprocessing)
        self.macs: float | None = None
        """MACs of one image, as the MACs callback counted them; `val/score` and `test/score` need it."""
        self.configure_backbone()
        self.configure_loss()
        self.configure_metrics()

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: str | torch.device | None = None, **settings: Any
    ) -> Self:
        """Module of a checkpoint with its weights; `settings` stand in for what it says itself.

        Takes the place of Lightning's, which imports and calls what the file names as its `_instantiator`.

        Raises:
            UserError: the file is no checkpoint, or its weights do not fit what it says of itself.
        """
        hparams = (checkpoint := read_checkpoint(checkpoint_path))["hyper_parameters"] | settings
        ours = inspect.signature(TrashClassifier).parameters
        if missing := sorted({name for name, each in ours.items() if each.default is each.empty} - hparams.keys()):
            raise UserError(f"The checkpoint {checkpoint_path} lacks the settings {', '.join(missing)}.")
        known = {*ours, *inspect.signature(cls).parameters}
        try:
            module = cls(**{name: value for name, value in hparams.items() if name in known})
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"The settings in the checkpoint {checkpoint_path} do not work: {error}") from error
        fill(module, checkpoint["state_dict"])
        return module.to(map_location) if map_location else module

    def configure_backbone(self) -> None:
        """Build the network; its start weights, if any, are fetched only this once."""
        backbone = self.hparams["backbone"]
        self.model = build_network(backbone, len(self.class_names), self.hparams["plans"])
        # The checkpoint holds the weights: loading it must need neither the internet nor the file.
        self.hparams["backbone"] = {**backbone, "pretrained": False, "weights": None}

    def apply_rank_plan(self, plan: RankPlan, moments: Mapping[str, Tensor] | None = None) -> None:
        """Factorise the network as it is now; its checkpoints rebuild it so, also after an earlier plan.

        Args:
            moments: from `collect_moments`, for factors that keep outputs instead of weights.
        """
        self.model = apply_plan(self.model, plan, moments)
        self.hparams["plans"] = add_plan(self.hparams["plans"], plan)

    def apply_channel_plan(self, plan: ChannelPlan) -> None:
        """Drop channels of the network as it is now; its checkpoints rebuild it so."""
        self.model = apply_channel_plan(self.model, plan)
        self.hparams["plans"] = add_plan(self.hparams["plans"], plan)

    @property
    def factorised(self) -> list[str]:
        """Names of the layers that were replaced by chains of smaller ones."""
        plans = read_plans(self.hparams["plans"])
        return [name for plan in plans if isinstance(plan, RankPlan) for name in plan.layers]

    def configure_loss(self) -> None:
        self.loss = create_loss(self.hparams["loss"], self.hparams["class_counts"])

    def configure_metrics(self) -> None:
        metrics = create_metrics(len(self.class_names))
        self.train_metrics = metrics.clone(prefix="train/")
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, C) of normalised images (N, 3, H, W)."""
        return self.model(images.to(self.dtype))  # with trainer.precision=bf16-true the weights are not float32

    def shared_step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        """Loss and logits of a batch, with its metrics gathered under `stage/`."""
        target = batch["target"]
        logits, loss = self.logits_and_loss(batch, stage)
        # Of validations within fit the best checkpoint may be of another epoch.
        if not torch.isfinite(loss) and (stage == "train" or self.trainer.state.fn != TrainerFn.FITTING):
            self.raise_non_finite(loss, stage)
        hard_target = target if target.ndim == 1 else target.argmax(dim=1)
        getattr(self, f"{stage}_metrics").update(logits.detach(), hard_target)
        self.log(f"{stage}/loss", loss, on_step=False, on_epoch=True, batch_size=len(logits), sync_dist=True)
        return {"loss": loss, "logits": logits.detach(), "target": hard_target, "index": batch["index"]}

    def logits_and_loss(self, batch: Batch, stage: str) -> tuple[Tensor, Tensor]:
        logits = self(batch["image"])
        return logits, self.loss(logits, batch["target"])

    def raise_non_finite(self, loss: Tensor, stage: str) -> None:
        if stage != "train":
            raise UserError(f"The {stage} loss of the network is {loss.item()}: its training diverged. {CALMER}")
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        raise UserError(
            f"The training loss is {loss.item()} at step {self.global_step} (epoch {self.current_epoch}), "
            f"learning rate {lr:.3g}. {CALMER}"
        )

    def log_epoch(self, stage: str) -> None:
        """Log what the metrics of `stage` gathered, F1 of each class by its name, and the score."""
        metrics = getattr(self, f"{stage}_metrics")
        values = metrics.compute()
        metrics.reset()
        per_class = values.pop(f"{stage}/f1_per_class")
        confusion = values.pop(f"{stage}/confusion")
        if stage != "train":
            values |= {f"{stage}/f1_{name}": f1 for name, f1 in zip(self.class_names, per_class, strict=True)}
            if self.macs is not None:
                f1 = values[f"{stage}/f1"].item()
                values[f"{stage}/score"] = competition_score(f1, self.macs, **self.hparams["score"])
        if stage == "test":
            interval = bootstrap_f1(confusion.cpu().numpy(), floor=self.hparams["score"]["floor"])
            values |= {"test/interval_low": interval.low, "test/interval_high": interval.high}
            values["test/p_f1_above_floor"] = interval.p_above_floor
        self.log_dict(values, sync_dist=True)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self.shared_step(batch, "train")

    def on_train_epoch_end(self) -> None:
        self.log_epoch("train")

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self.shared_step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self.log_epoch("val")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self.shared_step(batch, "test")

    def on_test_epoch_end(self) -> None:
        self.log_epoch("test")

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return {"index": batch["index"], "logits": self(batch["image"]).float()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = create_optimizer(self.model, self.hparams["optimizer"], self.trainer)
        if self.trainer.max_epochs == 0:  # nothing is trained, as in a search for ranks
            return optimizer
        scheduler = create_scheduler(optimizer, self.hparams["scheduler"], self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step_update(self.global_step)
