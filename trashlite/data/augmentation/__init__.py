"""Augmentation of whole batches on the batch's device, with its own random draw for each image."""

from trashlite.data.augmentation.batch import BatchAugmentation
from trashlite.data.augmentation.camera import RandomCamera
from trashlite.data.augmentation.colour import ColourJitter
from trashlite.data.augmentation.erasing import RandomErasing
from trashlite.data.augmentation.geometry import RandomGeometry
from trashlite.data.augmentation.mixing import Mixing
from trashlite.data.augmentation.policy import RandAugment

__all__ = [
    "BatchAugmentation",
    "ColourJitter",
    "Mixing",
    "RandAugment",
    "RandomCamera",
    "RandomErasing",
    "RandomGeometry",
]
