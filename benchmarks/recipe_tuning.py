"""The trash9 recipes' fine-tuning (conf/experiment/base/distilled.yaml) for benchmarks/low_rank.py --teacher."""

import argparse
import logging

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from lightning_modules.checkpoint.adopt import adopt_checkpoint
from lightning_modules.job.parts import create_datamodule, create_module, create_trainer
from lightning_modules.job.warning_filters import silence
from trashlite.data.decode import kernel_of
from trashlite.files import CONF
from trashlite.network import read_checkpoint
from trashlite.overrides import to_override

# Of a datamodule: which images are trained on.
SPLIT_SETTINGS = ("split", "val_ratio", "fold", "seed", "sampling", "smoothing_k", "train_fraction")
CALLBACKS = ("epoch_seed", "ema", "progress")  # the last epoch is the result


def distil(model: nn.Module, args: argparse.Namespace, epochs: int, lr: float) -> None:
    """Train a network, in place, on the data split of the benchmark's checkpoint and with its preprocessing.

    Args:
        model: any network with the checkpoint's classes.
        args: of the benchmark; `teacher` is the checkpoint to learn from.
        lr: the highest learning rate.
    """
    silence()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    checkpoint = read_checkpoint(args.checkpoint)
    data = OmegaConf.create(checkpoint["config"]).datamodule
    preprocessing = checkpoint["hyper_parameters"]["preprocessing"]
    settings = {
        "checkpoint": str(args.checkpoint),
        "resize_mode": preprocessing["resize_mode"],
        "resize_kernel": kernel_of(preprocessing),
        "lightning_module.teacher": str(args.teacher),
        "datamodule.root": str(args.data),
        "datamodule.cache_dir": str(args.cache_dir),
        "trainer.max_epochs": epochs,
        "optimizer.lr": lr,
        "optimizer.weight_decay": args.weight_decay,
        "seed": args.seed,
        **{f"datamodule.{key}": data[key] for key in SPLIT_SETTINGS},
        "output_dir": str(args.cache_dir),
    }
    overrides = ["experiment=base/distilled", *(to_override(key, value) for key, value in settings.items())]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = adopt_checkpoint(compose("config", overrides), checkpoint, overrides)
    cfg.callbacks = {name: cfg.callbacks[name] for name in CALLBACKS}
    OmegaConf.resolve(cfg)
    datamodule = create_datamodule(cfg)
    module = create_module(cfg, datamodule)
    module.model = model.requires_grad_(True).train()
    trainer = create_trainer(cfg, [], limit_val_batches=0, enable_checkpointing=False)
    trainer.fit(module, datamodule=datamodule)
