"""Colour adjustments of a batch with one factor an image; each equals torchvision's of the same name."""

import torch
from torch import Tensor, nn

from trashlite.data.augmentation.checks import check_between
from trashlite.data.augmentation.draws import draw_around, draw_chance

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision's rgb_to_grayscale


class ColourJitter(nn.Module):
    """Jitters brightness, contrast, saturation and hue of each image, and turns a share of them grey.

    Args:
        brightness, contrast, saturation: factors are uniform in [1 - value, 1 + value].
        hue: the shift is uniform in [-hue, hue], share of a full turn, at most 0.5. It takes twenty
            times as long as the others together.
        grey: probability of an image without colour.

    Raises:
        UserError: a setting out of its range.
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        grey: float = 0.0,
    ) -> None:
        super().__init__()
        self.brightness = check_between("colour.brightness", brightness, 0, 1)
        self.contrast = check_between("colour.contrast", contrast, 0, 1)
        self.saturation = check_between("colour.saturation", saturation, 0, 1)
        self.hue = check_between("colour.hue", hue, 0, 0.5)
        self.grey = check_between("colour.grey", grey, 0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Jitter images (N,3,H,W) in [0,1]."""
        if self.hue:
            images = adjust_hue(images, draw_around(images, 0, self.hue))
        if self.brightness or self.contrast or self.saturation or self.grey:
            saturation = draw_around(images, 1, self.saturation)
            images = adjust_colour(
                images,
                brightness=draw_around(images, 1, self.brightness),
                contrast=draw_around(images, 1, self.contrast),
                saturation=saturation.masked_fill(draw_chance(images, self.grey), 0),
            )
        return images


def adjust_colour(
    images: Tensor,
    brightness: Tensor | float = 1.0,
    contrast: Tensor | float = 1.0,
    saturation: Tensor | float = 1.0,
) -> Tensor:
    """Brightness, then contrast, then saturation by factors (N,), as one linear map and one clamp.

    Images (N,3,H,W) in [0,1]. Each alone equals torchvision's; together they differ from three calls only
    where an intermediate result would have been clamped.
    """
    n = len(images)
    pixels = images.flatten(2)
    brightness, contrast, saturation = (
        torch.as_tensor(factor, device=images.device, dtype=images.dtype).expand(n)[:, None, None]
        for factor in (brightness, contrast, saturation)
    )
    eye = torch.eye(3, device=images.device)
    luma = torch.tensor(LUMA, device=images.device).expand(3, 3)
    grey_level = brightness * (luma @ pixels.mean(2, keepdim=True))
    saturate = saturation * eye + (1 - saturation) * luma
    colours = saturate * (contrast * brightness)
    offset = saturate @ ((1 - contrast) * grey_level)
    return torch.baddbmm(offset, colours, pixels).clamp_(0, 1).view_as(images)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of images (N,3,H,W) in [0,1] by `shift` (N,), share of a full turn, in HSV colour space.

    HSV to RGB without cases: a channel is `v - chroma * clamp(min(k, 4 - k), 0, 1)`, with k the
    hue's distance from the channel in sixths of a turn (https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative).
    """
    red, green, blue = images.unbind(1)
    value, top = images.max(1)
    chroma = value - images.amin(1)
    safe = chroma.clamp(min=1e-12)
    sixths = torch.where(
        top == 0,
        (green - blue) / safe,
        torch.where(top == 1, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sixths += 6 * shift[:, None, None]
    channel = torch.tensor([5.0, 3.0, 1.0], device=images.device)[:, None, None]
    k = (sixths[:, None] + channel).remainder_(6)
    darker = torch.minimum(k, 4 - k).clamp_(0, 1).mul_(chroma[:, None])
    return value[:, None] - darker
