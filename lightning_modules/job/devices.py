"""Several devices: all of them train, the first process evaluates and records alone."""

import os
from collections.abc import Sequence

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning import Trainer
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from trashlite.errors import UserError


def check_accelerator(wanted: str) -> None:
    """Check that the machine has what `trainer.accelerator` asks for.

    Raises:
        UserError: it has not.
    """
    kinds = {"cpu": True, "cuda": CUDAAccelerator.is_available(), "mps": MPSAccelerator.is_available()}
    there = [kind for kind, is_there in kinds.items() if is_there]
    if not {"auto": True, "gpu": len(there) > 1}.get(wanted, wanted in there):
        raise UserError(
            f"trainer.accelerator={wanted}: this machine has none that PyTorch can use; choose auto or "
            f"{', '.join(there)}."
        )


def check_devices(trainer: Trainer) -> None:
    """Refuse what several devices cannot do.

    Raises:
        UserError: there are fewer cores than processes; or a job of a multirun would train on several: each further
            process would start the multirun again.
    """
    cores = os.cpu_count() or 1
    if trainer.num_devices > max(cores, 2) and trainer.strategy.root_device.type == "cpu":
        raise UserError(
            f"trainer.devices={trainer.num_devices} means as many processes, and this machine has {cores} CPU cores."
        )
    in_multirun = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if trainer.world_size > 1 and in_multirun:
        raise UserError(
            f"A job of a multirun trains on one device, not on {trainer.world_size}: set trainer.devices=1, and let "
            "a launcher run several jobs at once (docs/sweeps.md)."
        )


def go_on_alone() -> None:
    """End the group of processes after training: metrics of the first must not wait for the others."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def first_device(devices: int | str | Sequence[int]) -> int | str | list[int]:
    """Setting of a trainer for the first of `devices` alone: [2, 3] gives [2], "2,3" gives "2,", a number 1."""
    if isinstance(devices, str):
        return f"{devices.partition(',')[0]}," if "," in devices else 1
    return 1 if isinstance(devices, int) else list(devices[:1])
