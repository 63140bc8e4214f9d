"""Compose the program's configuration the way the shell does."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

Run = Callable[..., dict[str, Any]]

PROJECT = Path(__file__).resolve().parents[1]
HANGS = 300  # seconds after which a process of a test must be hanging, however busy the machine
BACKBONE = "test_efficientnet"  # timm's smallest with every kind of convolution
# A run of seconds: a small backbone, small images, one thread.
QUICK = (
    f"backbone.name={BACKBONE}",
    "image_size=[32,32]",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "threads=1",
    "datamodule.batch_size=16",
)
# Neither a W&B process nor pictures.
MUTE = ("logger.wandb=null", "callbacks.media=null", "callbacks.calibration=null")


def compose_config(*overrides: str, hydra: bool = False) -> DictConfig:
    """The configuration that `python run.py OVERRIDES` would compose, with Hydra's own node if wanted."""
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra)


def wait_for(happened: Callable[[], object], *processes: subprocess.Popen) -> None:
    """Wait until it happened, as long as one of the processes that it is expected of lives."""
    while not happened():
        ended = [process.communicate()[0] for process in processes if process.poll() is not None]
        assert len(ended) < len(processes) or happened(), ended
        time.sleep(0.01)


def make(folder: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    """A target of the Makefile, in `folder`."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        input=answer,
        capture_output=True,
        text=True,
        timeout=HANGS,
        env={"PATH": os.environ["PATH"]},  # not what a `make test ARGS=…` around it hands on
        check=False,
    )


def train_in(folder: Path, root: Path, *overrides: str) -> dict[str, Any]:
    """Record of a quick run on `root` with all its files, caches too, in `folder`."""
    import run

    given = ["datamodule=trash", f"datamodule.root={root}", f"datamodule.cache_dir={folder / 'cache'}"]
    given += [*QUICK, *MUTE, *overrides]
    return run.run(compose_config(*given, f"output_dir={folder}"), given)[0]


def weights(checkpoint: str | Path) -> dict[str, Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def assert_same_weights(one: Path, other: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        expected, found = (weights(folder / "checkpoints" / name) for folder in (one, other))
        assert expected.keys() == found.keys()
        assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


def stop_after(quick_run: Run, settings: list[str], epochs: int, of: int) -> None:
    """A run of `of` epochs in the folder "stopped" that is killed when it has saved epoch `epochs`."""
    from pytorch_lightning.callbacks import ModelCheckpoint

    save = ModelCheckpoint.on_train_epoch_end

    def save_then_die(self: Any, trainer: Any, pl_module: Any) -> None:
        save(self, trainer, pl_module)
        if self.filename == "last" and trainer.current_epoch + 1 == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelCheckpoint, "on_train_epoch_end", save_then_die)
        with pytest.raises(SystemExit):  # Lightning's answer to Ctrl-C
            quick_run(*settings, f"trainer.max_epochs={of}", folder="stopped")
