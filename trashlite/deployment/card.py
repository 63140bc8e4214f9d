"""Model card: the facts to know of an exported network before trusting it."""

from collections.abc import Mapping
from typing import Any

from trashlite.calibration import Calibration
from trashlite.data.decode import kernel_of
from trashlite.metrics import BootstrapF1

SQUEEZED = {"channels": "slimmed", "ranks": "factorised"}

RESIZE = {
    "stretch": "stretched to the input size",
    "letterbox": "shrunk with its aspect ratio kept, the rest filled with grey 114",
    "landscape": "turned by 90° counter-clockwise where it is higher than wide, then stretched to the input size",
}
KERNEL = {
    "bilinear": "bilinear **with antialiasing** (Pillow's `resize`, `reducing_gap=2`; JPEG files through `draft`)",
    "box": "the average of all pixels (Pillow's `BOX`)",
}
LIMITS = """\
- It was judged on validation images, on which its best epoch was chosen too: expect less elsewhere.
- It knows its classes only. A picture of anything else gets one of them, or "unknown" where the threshold says so.
- Other pixels are another network: a resize without antialiasing, BGR instead of RGB or pictures that are not turned
  cost up to half of the F1. Keep to `preprocessing.json`, and check your program against `golden/`.
- The network is MIT-licensed like the program that trained it; the photographs, `golden/` included, are their
  owners'."""


def model_card(
    name: str,
    checkpoint: Mapping[str, Any],
    *,
    macs: int,
    parameters: int,
    f1: BootstrapF1,
    images: tuple[int, int],
    data: str,
    calibration: Calibration,
) -> str:
    """The card in Markdown.

    Args:
        checkpoint: from `read_checkpoint`.
        f1: on the validation images.
        images: so many of training and validation.
        data: name of the data set.
    """
    settings = checkpoint["hyper_parameters"]
    backbone = ", ".join(
        [settings["backbone"]["name"], *(SQUEEZED[kind] for plan in settings["plans"] for kind in plan)]
    )
    preprocessing, classes = settings["preprocessing"], settings["class_names"]
    height, width = preprocessing["image_size"]
    mean, std = (", ".join(f"{value:.4g}" for value in preprocessing[key]) for key in ("mean", "std"))
    return f"""\
# {name}

| | |
| --- | --- |
| backbone | {backbone} |
| classes | {", ".join(classes)} |
| input | RGB, {height} x {width} (height x width) |
| resize | {RESIZE[preprocessing["resize_mode"]]} |
| kernel | {KERNEL[kernel_of(preprocessing)]} |
| normalisation | value / 255, less mean {mean}, by standard deviation {std} |
| MACs | {macs:,} (thop, BatchNorm folded) |
| parameters | {parameters:,} |
| macro F1 | {f1.f1:.4f} on {images[1]} validation images (95 % interval {f1.low:.4f} to {f1.high:.4f}) |
| probabilities | {calibration.in_words().replace(chr(10), "; ")} |
| data | {data}: {images[0]} training images |

## Limits

{LIMITS}
"""
