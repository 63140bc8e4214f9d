"""Small networks and what an export is made from, for the tests of the C and HTML exports."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trashlite.deployment.spec import ExportSpec, LabelledImages

SIZES = [
    (1, 1),
    (1, 900),
    (700, 1),
    (5, 3),
    (11, 16),
    (23, 50),
    (97, 61),
    (480, 640),
    (1301, 977),
    (13, 16),
    (20, 18),
    (640, 120),
    (70, 17),
]
"""Sides in pixels of the frames that the C and the HTML export are tested with."""

PREPROCESSING = {"image_size": [11, 16], "resize_mode": "landscape", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


class EveryOperator(nn.Module):
    """One of each kind of operator that the exports know, with odd sizes, strides, padding, dilation and groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(12, 12, 5, padding=4, dilation=2, groups=12)
        self.grouped = nn.Conv2d(12, 18, (3, 1), padding=(1, 0), groups=3, bias=False)
        self.shrink = nn.Conv2d(18, 12, 1)
        self.gate = nn.Conv2d(12, 12, 1)
        self.norm = nn.BatchNorm2d(12)
        self.head = nn.Linear(12 * 3 * 4, 13)
        self.last = nn.Linear(13, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.stem(x))
        y = nn.functional.hardswish(self.depthwise(x))
        y = self.shrink(nn.functional.silu(self.grouped(y))).clamp(-2, 3)
        y = y * nn.functional.hardsigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        x = self.norm(x + y) * 0.5 + 0.25
        left, right = x.chunk(2, 1)
        x = torch.cat([right, torch.tanh(left)], 1).clamp(-0.6, 0.9)
        x = x.reshape(-1, 2, 6, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        x = nn.functional.max_pool2d(nn.functional.leaky_relu(x, 0.1), 3, 2, 1)
        x = nn.functional.avg_pool2d(nn.functional.gelu(x), 3, 1, 1)
        return self.last(torch.sigmoid(self.head(x.flatten(1))))


def every_operator() -> nn.Module:
    """The network in eval mode with weights that let all values matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EveryOperator().eval()
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5)
        nn.init.uniform_(network.norm.running_var, 0.5, 2)
        nn.init.uniform_(network.norm.running_mean, -0.5, 0.5)
    return network.requires_grad_(False)


def make_spec(train: int = 0, **preprocessing: Any) -> ExportSpec:
    """A specification for five classes with so many training images of noise."""
    settings = {**PREPROCESSING, **preprocessing}
    pixels = np.random.default_rng(1).integers(0, 256, (train, *settings["image_size"], 3), dtype=np.uint8)
    images = LabelledImages([], pixels, np.zeros(train, np.int64))
    names = ["Glass", 'Quote " and \\', "Paper??/", "플라스틱", "E"]
    return ExportSpec("every_operator", names, settings, [], images, images, temperature=1.5, threshold=0.3)
