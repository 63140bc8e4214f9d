"""Learn from a trained network as well as from the labels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from datamodules.trash import TrashDataModule
from lightning_modules.classifier import Batch, TrashClassifier
from trashlite.compression import fold_batchnorm
from trashlite.distillation import SOFT_LOSSES, SoftLoss, feature_loss, mixed_logits
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint
from trashlite.teacher_outputs import TrainingImages, teacher_outputs


class Teacher(NamedTuple):
    """A frozen network in eval mode, its BatchNorm folded, the checkpoint it came from, and how it wants its images."""

    checkpoint: str
    network: nn.Module
    preprocessing: Mapping[str, Any]


class Distiller(TrashClassifier):
    """A TrashClassifier that also imitates a teacher, which sees the same augmented images in its own preprocessing.

    Loss = alpha · hard + (1 - alpha) · soft + feature_weight · features, where `trashlite.distillation` has the soft
    losses. It differs only in training: validation has the hard loss alone, and its checkpoints load as a
    TrashClassifier, without the teacher. Draws of augmentation are shares of the image's sides: at another size the
    teacher sees the same crops, flips and shifts (angles are measured in each one's own pixels, so that they are the
    same for one aspect ratio).

    Args:
        teacher: checkpoint of a TrashClassifier with the same classes, or several, whose logits are averaged.
        soft_loss: `kl` (divergence from the teacher's softmax), `standardised_kl` (the same of logits of mean 0 and
            deviation 1) or `correlation` (within images and within classes).
        temperature: T of the softmaxes in it, above 0.
        alpha: share of the hard labels' loss, in [0, 1]; 1 without feature_weight needs no teacher.
        feature_weight: of `feature_loss` between what the two classifying layers see; 0: none.
        views: show each training image in so many augmentations and ask the teacher about each just once, before
            training (`teacher_outputs`); 0: new augmentations in each epoch, on which the teacher is asked. Of a mixed
            image the former takes the mean of the teacher's answers to both images, the latter asks about the mixture.
        **settings: of TrashClassifier.

    Raises:
        UserError: a setting is out of range; when fitting: no teacher, or one that does not match.
    """

    def __init__(
        self,
        teacher: str | Sequence[str] | None = None,
        soft_loss: SoftLoss = "kl",
        temperature: float = 4.0,
        alpha: float = 0.5,
        feature_weight: float = 0.0,
        views: int = 0,
        **settings: Any,
    ) -> None:
        if not temperature > 0 or not 0 <= alpha <= 1 or not feature_weight >= 0 or not views >= 0:
            raise UserError(
                f"Distillation needs temperature above 0, alpha in 0..1, feature_weight and views of at least 0, not "
                f"{temperature}, {alpha}, {feature_weight} and {views}."
            )
        if soft_loss not in SOFT_LOSSES:
            raise UserError(f"lightning_module.soft_loss={soft_loss!r} is none of {', '.join(SOFT_LOSSES)}.")
        super().__init__(**settings)
        self.soft_loss = SOFT_LOSSES[soft_loss]
        self.teacher_paths = [teacher] if isinstance(teacher, str) else list(teacher or ())
        if feature_weight and (views or len(self.teacher_paths) > 1):
            raise UserError(
                "Features are matched with one teacher that looks on: with lightning_module.feature_weight set, give "
                "one teacher and leave lightning_module.views=0."
            )
        # In a list, so that they are no submodules: neither saved nor averaged, optimized or set to train mode.
        self._teachers: list[Teacher] = []
        self._outputs: Tensor | None = None

    def setup(self, stage: str) -> None:
        if stage != "fit" or self._teachers or self._outputs is not None:
            return
        if self.hparams["alpha"] == 1 and not self.hparams["feature_weight"]:
            return
        if not self.teacher_paths:
            raise UserError("Distillation needs a trained model: lightning_module.teacher=PATH of its checkpoint.")
        teachers = [load_teacher(path, self.class_names) for path in self.teacher_paths]
        for teacher in teachers:
            theirs, ours = (each["resize_mode"] for each in (teacher.preprocessing, self.preprocessing))
            if theirs != ours:
                rank_zero_warn(
                    f"The teacher {teacher.checkpoint} has resize_mode={theirs}, the student {ours}: crops and flips "
                    "do not show them the same part of every image."
                )
        datamodule = getattr(self._trainer, "datamodule", None)
        if self.hparams["views"]:
            self._outputs = self.ask_once(teachers, datamodule)
            return
        self._teachers = teachers
        others = any(teacher.preprocessing != self.preprocessing for teacher in teachers)
        if others or _camera_is_on(datamodule):  # a teacher's own images are not those of another camera
            if not isinstance(datamodule, TrashDataModule):
                raise UserError(
                    f"The teacher {self.teacher_paths[0]} has another preprocessing: only a TrashDataModule can show "
                    f"it its own images. Its: {teachers[0].preprocessing}; the student's: {self.preprocessing}."
                )
            datamodule.show_also({image_name(n): teacher.preprocessing for n, teacher in enumerate(teachers)})

    def ask_once(self, teachers: list[Teacher], datamodule: Any) -> Tensor:
        """Mean logits (views, rows, classes) of the teachers, for `view` and `row` of a batch."""
        if not isinstance(datamodule, TrashDataModule):
            raise UserError(f"lightning_module.views needs a TrashDataModule, not {datamodule!r}.")
        views = self.hparams["views"]
        datamodule.show_views(views)
        tables = [
            teacher_outputs(
                teacher.network,
                training_images(datamodule, teacher.preprocessing),
                checkpoint=teacher.checkpoint,
                preprocessing=teacher.preprocessing,
                views=views,
                device=self.trainer.strategy.root_device,
            )
            for teacher in teachers
        ]
        return torch.stack(tables).mean(0)

    def on_fit_start(self) -> None:
        for teacher in self._teachers:
            teacher.network.to(self.device)
        if self._outputs is not None:
            self._outputs = self._outputs.to(self.device)

    def logits_and_loss(self, batch: Batch, stage: str) -> tuple[Tensor, Tensor]:
        if stage != "train" or (self._outputs is None and not self._teachers):
            return super().logits_and_loss(batch, stage)
        with classifier_input(self.model) as features:
            logits, hard = super().logits_and_loss(batch, stage)
        teacher_logits, teacher_features = self.ask_teachers(batch)
        alpha, feature_weight = self.hparams["alpha"], self.hparams["feature_weight"]
        soft = self.soft_loss(logits, teacher_logits, self.hparams["temperature"])
        loss = alpha * hard + (1 - alpha) * soft
        parts = {"train/hard_loss": hard, "train/soft_loss": soft}
        if feature_weight:
            parts["train/feature_loss"] = feature_loss(features[0], teacher_features[0])
            loss = loss + feature_weight * parts["train/feature_loss"]
        self.log_dict(parts, on_step=False, on_epoch=True, batch_size=len(logits), sync_dist=True)
        return logits, loss

    @torch.no_grad()
    def ask_teachers(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The teachers' mean logits (N, C), whose softmax is that of their mean log-probabilities, and features."""
        if self._outputs is not None:
            logits = self._outputs[batch["view"], batch["row"]]
            if "mixed_from" in batch:
                logits = mixed_logits(logits, batch["mixed_from"], self.hparams["temperature"])
            return logits, []
        answers, features = [], []
        for number, teacher in enumerate(self._teachers):
            with classifier_input(teacher.network) as seen:
                answers.append(teacher.network(batch.get(image_name(number), batch["image"])))
            features += seen
        return torch.stack(answers).mean(0), features


def _camera_is_on(datamodule: Any) -> bool:
    augmentation = getattr(datamodule, "augmentation", None)
    return augmentation is not None and augmentation.camera.is_on


def training_images(datamodule: TrashDataModule, preprocessing: Mapping[str, Any]) -> TrainingImages:
    """The training images of a datamodule, after `setup`, as a teacher of this preprocessing takes them."""
    return TrainingImages(
        datamodule.folder.labelled_images(preprocessing),
        datamodule.train_dataset.images.rows,
        len(datamodule.class_names),
        datamodule.augmentation,
        datamodule.hparams["seed"],
    )


def load_teacher(path: str, class_names: Sequence[str]) -> Teacher:
    """The frozen network of a checkpoint; raises UserError unless it has these classes."""
    checkpoint = read_checkpoint(path)
    hparams = checkpoint["hyper_parameters"]
    if list(class_names) != list(hparams["class_names"]):
        raise UserError(
            f"The teacher {path} has other classes: {list(hparams['class_names'])} instead of {list(class_names)}."
        )
    preprocessing = hparams["preprocessing"]
    # As fast as it gets: a teacher's forward passes take longer than all of a small student's training.
    network = fold_batchnorm(load_network(checkpoint), (3, *preprocessing["image_size"]))
    network = network.requires_grad_(False).to(memory_format=torch.channels_last)
    return Teacher(path, network, preprocessing)


def image_name(number: int) -> str:
    """Key of a batch for the images of the teacher of this number."""
    return f"teacher_image_{number}"


@contextmanager
def classifier_input(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that gets what the classifying layer sees, (N, D), in each forward pass."""
    seen: list[Tensor] = []
    classifier: nn.Module = model.get_classifier()  # type: ignore[operator]
    handle = classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    try:
        yield seen
    finally:
        handle.remove()
