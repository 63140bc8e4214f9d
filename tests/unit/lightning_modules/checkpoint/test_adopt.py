"""Settings that a checkpoint speaks for, and those that the command or its experiment has taken."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from lightning_modules.checkpoint.adopt import adopt_checkpoint, is_finished, overlay_keys, resumed_config
from tests.harness import compose_config
from trashlite.errors import UserError

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
    own = {"checkpoint", "image_size", "callbacks.slimming.budget", "trainer.max_epochs"}
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


@pytest.mark.parametrize(("overlay", "fraction"), [("debug=fast", 0.1), ("+sweep=hpo", 0.5)])
def test_overlays_beside_a_checkpoint_keep_what_they_set(overlay: str, fraction: float) -> None:
    cfg = adopt_checkpoint(compose_config(overlay), CHECKPOINT, [overlay])
    assert (cfg.datamodule.root, cfg.datamodule.train_fraction) == ("of the checkpoint", fraction)


def stopped(*overrides: str, epoch: int = 2) -> dict[str, Any]:
    """A checkpoint of a run with these overrides, stopped after an epoch (the first is 0)."""
    config = OmegaConf.to_container(compose_config("datamodule=trash", "datamodule.root=photos", *overrides))
    return {**CHECKPOINT, "config": config, "optimizer_states": [], "loops": {}, "epoch": epoch}


def test_a_resumed_run_keeps_its_classes_settings_and_network() -> None:
    checkpoint = stopped("optimizer.lr=0.5", "loss=focal", "+trainer.limit_val_batches=7", "callbacks.ema=null")
    cfg = resumed_config(compose_config("trainer.max_epochs=9"), checkpoint, ["trainer.max_epochs=9"])
    assert cfg.datamodule.class_names == ["a", "b"]  # so that another folder's classes are refused
    assert (cfg.backbone.name, list(cfg.image_size), cfg.resize_mode) == ("block_net", [8, 12], "letterbox")
    assert (cfg.optimizer.lr, cfg.loss.name, cfg.trainer.limit_val_batches) == (0.5, "focal", 7)
    assert (cfg.callbacks.ema, cfg.trainer.max_epochs) == (None, 9)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["backbone.name=lcnet_050"], "holds a block_net.*lcnet_050"),
        (["+backbone.kwargs.blocks=[x]"], "backbone.kwargs.blocks"),
    ],
)
def test_another_network_than_the_one_to_resume_is_refused(overrides: list[str], words: str) -> None:
    composed = (
        compose_config(*overrides)
        if "=lcnet" in overrides[0]
        else compose_config(*overrides, "backbone.name=block_net")
    )
    with pytest.raises(UserError, match=words):
        resumed_config(composed, stopped(), overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer=sgd"], r"with optimizer\.name=adamw and cannot go on with sgd"),
        (["optimizer.lr=0.25"], r"with optimizer\.lr=0\.5 and cannot go on with 0\.25"),
        (["scheduler=constant"], r"with scheduler\..* and cannot go on with"),
        (["image_size=[16,16]"], r"with image_size=\[8, 12\] and cannot go on with \[16, 16\]"),
        (["resize_mode=stretch"], "with resize_mode=letterbox and cannot go on with stretch"),
        (["datamodule=demo"], "with datamodule=.*Trash.* and cannot go on with .*Demo"),
        (["checkpoint=other.ckpt"], r"leave checkpoint=other\.ckpt out"),
    ],
)
def test_what_a_resumed_run_cannot_change_is_refused(overrides: list[str], words: str) -> None:
    checkpoint = stopped("optimizer.lr=0.5")
    with pytest.raises(UserError, match=words):
        resumed_config(compose_config(*overrides), checkpoint, overrides)


def test_a_run_of_averaged_weights_keeps_the_average() -> None:
    overrides, checkpoint = ["callbacks.ema=null"], stopped() | {"current_model_state": {}}
    assert resumed_config(compose_config(), checkpoint, []).callbacks.ema.decay == compose_config().callbacks.ema.decay
    with pytest.raises(UserError, match=r"Leave callbacks\.ema=null out"):
        resumed_config(compose_config(*overrides), checkpoint, overrides)
    assert resumed_config(compose_config(*overrides), stopped(), overrides).callbacks.ema is None


def test_what_is_said_again_is_no_change() -> None:
    overrides = ["optimizer.lr=0.5", "image_size=[8,12]", "resize_mode=letterbox"]
    assert resumed_config(compose_config(*overrides), stopped("optimizer.lr=0.5"), overrides).optimizer.lr == 0.5


def test_a_finished_run_is_known_and_fewer_epochs_than_it_had_are_refused() -> None:
    cfg = compose_config("trainer.max_epochs=3", "resume=last.ckpt")
    assert is_finished(cfg, stopped(epoch=2))
    assert not is_finished(cfg, stopped(epoch=1))
    epochs = ["trainer.max_epochs=3"]
    assert resumed_config(cfg, stopped(epoch=2), epochs).logger.wandb is None  # no second run of what is over
    assert resumed_config(cfg, stopped(epoch=1), epochs).logger.wandb is not None
    with pytest.raises(UserError, match="has trained 4 epochs"):
        is_finished(cfg, stopped(epoch=3))
