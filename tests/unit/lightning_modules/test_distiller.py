from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from callbacks.ema import WarmUpEMA
from datamodules.trash import TrashDataModule
from lightning_modules.classifier import TrashClassifier
from lightning_modules.distiller import (
    Distiller,
    classifier_input,
    image_name,
    load_teacher,
    training_images,
)
from tests.harness import compose_config
from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.data.augmentation import BatchAugmentation, RandomCamera
from trashlite.data.preprocess import preprocess
from trashlite.errors import UserError
from trashlite.teacher_outputs import teacher_outputs

PREPROCESSING = {"image_size": [32, 32], "resize_mode": "stretch", "mean": [0.5] * 3, "std": [0.5] * 3}
CLASSES = ["Glass", "Metal", "Paper"]


class RandomImages(Dataset):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index))
        return {"image": image, "target": index % 3, "index": index}


def build(module: str = "distiller", backbone: str = "lcnet_035", **settings: Any) -> Any:
    cfg = compose_config(f"lightning_module={module}", f"backbone.name={backbone}", "scheduler.warmup_epochs=0")
    config = OmegaConf.to_container(cfg.lightning_module, resolve=True)
    data = {"class_names": CLASSES, "class_counts": [4, 4, 4], "preprocessing": PREPROCESSING}
    return instantiate({**config, **data, **settings})  # type: ignore[dict-item]


def trainer_in(folder: Path, *callbacks: Callback, epochs: int = 2) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def loaders() -> tuple[DataLoader, DataLoader]:
    return DataLoader(RandomImages(), batch_size=6), DataLoader(RandomImages(), batch_size=6)


@pytest.fixture(scope="module")
def save_teacher(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    def save(**settings: Any) -> str:
        folder = tmp_path_factory.mktemp("teacher")
        torch.manual_seed(1)
        trainer = trainer_in(folder, epochs=0)
        teacher = build("classifier", **settings)
        reestimate_batchnorm(teacher.model, [torch.randn(64, 3, 32, 32)])  # else it sees next to nothing
        trainer.strategy.connect(teacher)
        trainer.save_checkpoint(folder / "teacher.ckpt", weights_only=True)
        return str(folder / "teacher.ckpt")

    return save


def test_training_loss_is_the_sum_of_its_parts(save_teacher: Callable[..., str]) -> None:
    path = save_teacher()
    student = build(teacher=path, temperature=3.0, alpha=0.3, feature_weight=0.7)
    student.setup("fit")
    student.log_dict = lambda *_, **__: None
    teacher: Any = TrashClassifier.load_from_checkpoint(path).eval().model
    images, target = torch.randn(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1])
    batch = {"image": images, "target": target}
    student.eval()  # without dropout
    reestimate_batchnorm(student.model, [torch.randn(64, 3, 32, 32)])
    logits, loss = student.logits_and_loss(batch, "train")

    teacher_logits = teacher(images)
    probability = (teacher_logits / 3).softmax(1)
    kl = (probability * (probability.log() - (logits / 3).log_softmax(1))).sum(1).mean()
    ours, theirs = (
        network.forward_head(network.forward_features(images), pre_logits=True) for network in (student.model, teacher)
    )
    features = (ours - theirs).square().mean() / theirs.square().mean()
    hard = -logits.log_softmax(1)[range(5), target].mean()
    torch.testing.assert_close(loss, 0.3 * hard + 0.7 * 9 * kl + 0.7 * features)
    torch.testing.assert_close(student.logits_and_loss(batch, "val")[1], hard)


class FirstBatch:
    """The little of a Trainer that the datamodule looks at."""

    training, current_epoch = True, 4


@pytest.mark.parametrize("number", [1, 2])
def test_kept_outputs_give_the_loss_of_teachers_that_look_on(
    save_teacher: Callable[..., str], tiny_root: Path, tmp_path: Path, number: int
) -> None:
    names = ["Glass", "Metal", "Plastic bag"]
    larger = {"image_size": [48, 40], "resize_mode": "stretch", "mean": [0.4] * 3, "std": [0.3] * 3}
    sizes = [larger, PREPROCESSING][:number]
    paths = [save_teacher(class_names=names, preprocessing=each, backbone="lcnet_050") for each in sizes]
    data = TrashDataModule(
        tiny_root, **PREPROCESSING, cache_dir=tmp_path, augmentation=instantiate(compose_config().augmentation)
    )
    data.prepare_data()
    data.setup("fit")
    data.show_views(3)
    data.show_also({image_name(position): size for position, size in enumerate(sizes)})
    torch.manual_seed(0)
    student = build(teacher=paths, alpha=0.2, class_names=names).eval()
    reestimate_batchnorm(student.model, [torch.randn(64, 3, 32, 32)])
    student.log_dict = lambda *_, **__: None
    teachers = [load_teacher(path, names) for path in paths]
    tables = [
        teacher_outputs(
            teacher.network,
            training_images(data, teacher.preprocessing),
            checkpoint=teacher.checkpoint,
            preprocessing=teacher.preprocessing,
            views=3,
            device=torch.device("cpu"),
        )
        for teacher in teachers
    ]
    data.trainer = FirstBatch()
    batch = data.on_after_batch_transfer(data.train_dataset.__getitems__([3, 20, 9, 11, 2]), 0)

    student._teachers = teachers
    live = student.logits_and_loss(batch, "train")[1]
    student._outputs = torch.stack(tables).mean(0)
    kept = student.logits_and_loss(batch, "train")[1]
    torch.testing.assert_close(kept, live, rtol=1e-5, atol=1e-6)
    batch["view"] = batch["view"] + 1
    assert (student.logits_and_loss(batch, "train")[1] - live).abs() > 1e-4


def test_a_teacher_of_the_same_size_does_not_see_what_the_camera_adds(
    save_teacher: Callable[..., str], tiny_root: Path, tmp_path: Path
) -> None:
    names = ["Glass", "Metal", "Plastic bag"]
    noisy = BatchAugmentation(camera=RandomCamera(noise=0.2))
    data = TrashDataModule(tiny_root, **PREPROCESSING, cache_dir=tmp_path, augmentation=noisy)
    data.prepare_data()
    data.setup("fit")
    student = build(teacher=save_teacher(class_names=names), class_names=names)
    student._trainer = SimpleNamespace(datamodule=data)
    student.setup("fit")
    data.trainer = FirstBatch()
    raw = data.train_dataset.__getitems__([3, 20, 9])
    batch = data.on_after_batch_transfer(raw, 0)
    clean = preprocess(raw["image"], PREPROCESSING)
    assert (batch["image"] - clean).abs().mean() > 0.05
    teacher = load_teacher(student.teacher_paths[0], names).network
    torch.testing.assert_close(student.ask_teachers(batch)[0], teacher(clean))


def test_teachers_are_averaged_in_their_log_probabilities(save_teacher: Callable[..., str]) -> None:
    paths = [save_teacher(), save_teacher(backbone="lcnet_050")]
    student = build(teacher=paths)
    student.setup("fit")
    images = torch.randn(5, 3, 32, 32)
    logits, _ = student.ask_teachers({"image": images})
    each = [load_teacher(path, CLASSES).network for path in paths]
    mean = torch.stack([teacher(images).log_softmax(1) for teacher in each]).mean(0)
    torch.testing.assert_close(logits.log_softmax(1), mean.log_softmax(1))


@pytest.mark.parametrize("backbone", ["lcnet_035", "lcnet_050"])
def test_a_teacher_has_its_batchnorm_folded(save_teacher: Callable[..., str], backbone: str) -> None:
    path = save_teacher(backbone=backbone)
    network = load_teacher(path, CLASSES).network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert all(not parameter.requires_grad for parameter in network.parameters())
    images = torch.randn(3, 3, 32, 32)
    expected = TrashClassifier.load_from_checkpoint(path).eval()(images)
    largest = expected.abs().max().item()
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-4 * largest)


class Watch(Callback):
    """Notes whether the teacher is ever in train mode."""

    def __init__(self) -> None:
        self.teacher_trained: list[bool] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        pl_module.train()
        self.teacher_trained += [module.training for module in pl_module._teachers[0].network.modules()]


@pytest.mark.parametrize("backbone", ["lcnet_035", "mobilenetv3_small_050"])
def test_fit_leaves_the_teacher_alone_and_out_of_the_checkpoint(
    save_teacher: Callable[..., str], backbone: str, tmp_path: Path
) -> None:
    path = save_teacher(backbone=backbone)
    student, watch = build(teacher=path, feature_weight=1.0), Watch()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    trainer = trainer_in(tmp_path, watch, WarmUpEMA(0.9))
    trainer.fit(student, *loaders())
    trainer.save_checkpoint(tmp_path / "student.ckpt")

    assert any(watch.teacher_trained) is False
    expected = load_teacher(path, student.class_names).network.state_dict()
    teacher: dict[str, Tensor] = student._teachers[0].network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in teacher.items())
    assert trainer.callback_metrics["train/soft_loss"] > 0
    assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())

    Path(path).unlink()  # who only uses the student needs no teacher
    state = torch.load(tmp_path / "student.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == before.keys()
    images = torch.randn(2, 3, 32, 32)
    for kind in (TrashClassifier, Distiller):
        loaded = kind.load_from_checkpoint(tmp_path / "student.ckpt").eval()
        torch.testing.assert_close(loaded(images), student.eval()(images))
    trainer_in(tmp_path).validate(loaded, loaders()[1], verbose=False)


def test_features_are_recorded_only_while_asked_for() -> None:
    model = build("classifier").model.eval()
    with classifier_input(model) as seen:
        model(torch.randn(2, 3, 32, 32))
    model(torch.randn(2, 3, 32, 32))
    assert [tuple(features.shape) for features in seen] == [(2, 1280)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_names": ["Glass", "Metal", "Wood"]}, "other classes.*Paper.*Wood"),
        ({"preprocessing": {**PREPROCESSING, "std": [0.1] * 3}}, "another preprocessing"),
    ],
)
def test_a_teacher_that_does_not_match_is_refused(
    save_teacher: Callable[..., str], settings: dict[str, Any], words: str
) -> None:
    student = build(teacher=save_teacher(), **settings)
    with pytest.raises(UserError, match=words):
        student.setup("fit")


def test_a_teacher_of_another_resize_mode_is_warned_of(save_teacher: Callable[..., str]) -> None:
    student = build(teacher=save_teacher(preprocessing={**PREPROCESSING, "resize_mode": "landscape"}))
    with (
        pytest.warns(UserWarning, match="landscape.*student stretch"),
        pytest.raises(UserError, match="its own images"),
    ):
        student.setup("fit")


def test_no_teacher_is_told() -> None:
    with pytest.raises(UserError, match=r"lightning_module\.teacher=PATH"):
        build(teacher=None).setup("fit")
    with pytest.raises(UserError, match=r"lightning_module\.teacher=PATH"):
        build(teacher=None, alpha=1, feature_weight=1.0).setup("fit")  # features are a teacher's, too
    with pytest.raises(Exception, match="alpha"):
        build(alpha=1.5)


def test_labels_alone_need_no_teacher(tmp_path: Path) -> None:
    student = build(teacher=None, alpha=1, views=8)
    trainer = trainer_in(tmp_path, epochs=1)
    trainer.fit(student, *loaders())
    assert "train/soft_loss" not in trainer.callback_metrics
    batch = next(iter(loaders()[0]))
    with torch.no_grad():
        logits, loss = student.logits_and_loss(batch, "train")
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, batch["target"]))


@pytest.mark.parametrize("settings", [{"views": 4}, {"teacher": ["a.ckpt", "b.ckpt"]}])
def test_features_need_one_teacher_that_looks_on(settings: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"one teacher.*views=0"):
        build(feature_weight=1.0, **settings)


def test_views_need_our_datamodule(save_teacher: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="views needs a TrashDataModule"):
        build(teacher=save_teacher(), views=2).setup("fit")
