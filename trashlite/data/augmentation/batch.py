"""All augmentation of a training batch."""

import torch
from torch import Tensor, nn

from trashlite.data.augmentation.camera import RandomCamera
from trashlite.data.augmentation.colour import ColourJitter
from trashlite.data.augmentation.erasing import RandomErasing
from trashlite.data.augmentation.geometry import RandomGeometry
from trashlite.data.augmentation.mixing import Mixing
from trashlite.data.augmentation.policy import RandAugment


class BatchAugmentation(nn.Module):
    """Geometry, colour, a RandAugment policy and erasing of a batch, each image with its own draws.

    All draws come from torch's global generator of the batch's device: the same seed gives the same result.
    Inside `draws.keyed_draws` an image comes out the same in any batch, and at any resolution. What is left out is
    off. `camera` and `mixing` are for afterwards: the one brings images to the network's size, the other needs the
    other images of the batch.
    """

    def __init__(
        self,
        geometry: RandomGeometry | None = None,
        colour: ColourJitter | None = None,
        policy: RandAugment | None = None,
        erasing: RandomErasing | None = None,
        mixing: Mixing | None = None,
        camera: RandomCamera | None = None,
    ) -> None:
        super().__init__()
        self.geometry = geometry or RandomGeometry()
        self.colour = colour or ColourJitter()
        self.policy = policy or RandAugment()
        self.erasing = erasing or RandomErasing()
        self.mixing = mixing or Mixing()
        self.camera = camera or RandomCamera()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Augment images, float (N,3,H,W) in [0,1], in any memory format; not in place. The result is contiguous."""
        # Planes are up to ten times as fast to work on as interleaved colours; the copy is ours to write to.
        images = images.clone(memory_format=torch.contiguous_format)
        drawn = self.policy.draw(images)
        images = self.geometry(images, self.policy.warp(images, drawn))
        images = self.colour(images)
        images = self.policy.recolour(images, drawn)
        return self.erasing(images).contiguous()
