"""Augmentation of whole batches on the batch's device, with its own random draw for each image."""

from datamodules.augmentation.batch import BatchAugmentation
from datamodules.augmentation.colour import ColourJitter
from datamodules.augmentation.erasing import RandomErasing
from datamodules.augmentation.geometry import RandomGeometry
from datamodules.augmentation.mixing import Mixing
from datamodules.augmentation.policy import RandAugment

__all__ = ["BatchAugmentation", "ColourJitter", "Mixing", "RandAugment", "RandomErasing", "RandomGeometry"]
