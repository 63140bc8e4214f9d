"""Compose the program's configuration the way the shell does."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

PROJECT = Path(__file__).resolve().parents[1]
# A run of seconds: the smallest backbone at a small size, one thread, nothing drawn.
QUICK = (
    "backbone=lcnet_035", "image_size=[32,32]", "trainer.max_epochs=1", "trainer.accelerator=cpu", "threads=1",
    "datamodule.batch_size=16", "logger.wandb=null", "callbacks.media=null",
)  # fmt: skip


def compose_config(*overrides: str) -> DictConfig:
    """The configuration that `python run.py OVERRIDES` would compose."""
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=False)
