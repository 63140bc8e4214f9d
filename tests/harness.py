"""Compose the program's configuration the way the shell does."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

PROJECT = Path(__file__).resolve().parents[1]
# A run of seconds: a small backbone, small images, one thread.
QUICK = (
    "backbone=lcnet_035", "image_size=[32,32]", "trainer.max_epochs=1", "trainer.accelerator=cpu", "threads=1",
    "datamodule.batch_size=16",
)  # fmt: skip
# Neither a W&B process nor pictures.
MUTE = ("logger.wandb=null", "callbacks.media=null")


def compose_config(*overrides: str, hydra: bool = False) -> DictConfig:
    """The configuration that `python run.py OVERRIDES` would compose, with Hydra's own node if wanted."""
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=hydra)
