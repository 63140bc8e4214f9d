"""Features of images by a network that ImageNet trained: a look at pictures that no label of the data set made."""

import numpy as np
import timm
import torch

from trashlite.backbones.weights import lite0_imagenet

NAME = "EfficientNet-Lite0 of ImageNet"
BATCH = 64  # images at a time


class Features:
    """Features of batches of images.

    Raises:
        UserError: the package with the weights is not installed.
    """

    def __init__(self) -> None:
        self.model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
        self.model.load_state_dict(lite0_imagenet())
        self.model.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """float16 (N, 1280) of uint8 images (N, H, W, 3): square roots, which tame the few strong features."""
        found = []
        for start in range(0, len(pixels), BATCH):
            images = torch.from_numpy(pixels[start : start + BATCH]).permute(0, 3, 1, 2)  # channels_last as it is
            found.append(self.model(images.float().div_(127.5).sub_(1)).clamp_min_(0).sqrt_().half().numpy())
        return np.concatenate(found)
