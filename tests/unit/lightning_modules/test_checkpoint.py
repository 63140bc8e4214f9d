"""Which settings a checkpoint speaks for, and which the command or its experiment has taken."""

import pytest
from omegaconf import OmegaConf

from lightning_modules.checkpoint import adopt_checkpoint, overlay_keys
from tests.harness import compose_config

CHECKPOINT = {
    "hyper_parameters": {
        "backbone": {"name": "block_net", "kwargs": {}, "pretrained": False, "weights": None},
        "preprocessing": {"image_size": [8, 12], "resize_mode": "letterbox", "mean": [0.5] * 3, "std": [0.5] * 3},
        "class_names": ["a", "b"],
    },
    "config": {
        "datamodule": {
            "_target_": "datamodules.trash.TrashDataModule",
            "root": "of the checkpoint",
            "oversample": 1,
            "train_fraction": 1.0,
        },
    },
}


def test_keys_of_an_experiment_and_of_the_one_it_builds_upon() -> None:
    keys = overlay_keys("experiment", "trash9_2m")
    own = {"checkpoint", "image_size", "callbacks.slimming.budget", "trainer.max_epochs", "hydra.run.dir"}
    inherited = {"resize_mode", "datamodule", "datamodule.oversample", "lightning_module.teacher", "augmentation"}
    assert own | inherited <= keys
    assert overlay_keys("experiment", "not_ours") == set()


@pytest.mark.parametrize(
    ("overrides", "image_size", "resize_mode", "root"),
    [
        ([], [8, 12], "letterbox", "of the checkpoint"),
        (["experiment=slim"], [8, 12], "letterbox", "of the checkpoint"),
        (["image_size=[5,6]"], [5, 6], "letterbox", "of the checkpoint"),
        (["experiment=trash9_2m", "datamodule.root=mine"], [32, 48], "landscape", "mine"),
        (["experiment=trash9_2m", "datamodule.root=mine", "image_size=[5,6]"], [5, 6], "landscape", "mine"),
    ],
)
def test_checkpoint_fills_what_is_left_open(
    overrides: list[str], image_size: list[int], resize_mode: str, root: str
) -> None:
    cfg = adopt_checkpoint(compose_config(*overrides), CHECKPOINT, overrides)
    assert (cfg.image_size, cfg.resize_mode, cfg.datamodule.root) == (image_size, resize_mode, root)
    assert cfg.backbone.name == "block_net"
    assert OmegaConf.to_container(cfg.datamodule.class_names) == ["a", "b"]
    assert list(cfg.datamodule.mean) == [0.5] * 3


@pytest.mark.parametrize(
    ("named", "overrides", "kernel"),
    [
        ({}, [], "bilinear"),  # made before there was a choice
        ({"kernel": "box"}, [], "box"),
        ({"kernel": "box"}, ["resize_kernel=bilinear"], "bilinear"),
        ({}, ["resize_kernel=box"], "box"),
    ],
)
def test_kernel_of_the_checkpoint_unless_the_command_names_one(named: dict, overrides: list[str], kernel: str) -> None:
    hparams = CHECKPOINT["hyper_parameters"]
    checkpoint = {
        **CHECKPOINT,
        "hyper_parameters": {**hparams, "preprocessing": {**hparams["preprocessing"], **named}},
    }
    cfg = adopt_checkpoint(compose_config(*overrides), checkpoint, overrides)
    assert (cfg.resize_kernel, cfg.datamodule.resize_kernel) == (kernel, kernel)
