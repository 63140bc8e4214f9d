"""A trained classifier for programs: a checkpoint and any image in, a class and its probability out."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from trashlite.calibration import UNKNOWN, Calibration, read_calibration, softmax
from trashlite.compression import fold_batchnorm
from trashlite.data.decode import as_rgb, decode, decode_settings, resize
from trashlite.data.preprocess import preprocess
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint
from trashlite.threads import one_thread

ImageLike = str | Path | Image.Image | NDArray[np.uint8]
BATCH = 256


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: a class, or "unknown" where even the most probable class is not probable enough."""

    label: str
    probability: float
    """Of the most probable class, also where the answer is "unknown"."""
    probabilities: dict[str, float]


class Predictor:
    """Classify images with a trained network, preprocessed as in its training.

    >>> predictor = Predictor.from_checkpoint("best.ckpt")
    >>> predictor("bottle.jpg").label

    Args:
        network: in eval mode.
        class_names: in the order of its logits.
        preprocessing: as in a checkpoint.
        calibration: temperature and threshold; None: neither.
        device: such as "cpu" or "cuda".

    Raises:
        UserError: there is no such device.
    """

    def __init__(
        self,
        network: nn.Module,
        class_names: Sequence[str],
        preprocessing: Mapping[str, Any],
        calibration: Calibration | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = find_device(device)
        self.network = network.to(self.device)
        self.class_names = list(class_names)
        self.preprocessing = dict(preprocessing)
        self.calibration = calibration or Calibration()

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str | torch.device = "cpu") -> "Predictor":
        """The network of a checkpoint with BatchNorm folded, calibrated where a calibration lies beside the file.

        Raises:
            UserError: there is no such file, or it is no checkpoint of this project.
        """
        checkpoint = read_checkpoint(path)
        settings = checkpoint["hyper_parameters"]
        network = fold_batchnorm(load_network(checkpoint), (3, *settings["preprocessing"]["image_size"]))
        return cls(network, settings["class_names"], settings["preprocessing"], read_calibration(path), device)

    @overload
    def __call__(self, image: ImageLike) -> Prediction: ...
    @overload
    def __call__(self, image: list[ImageLike]) -> list[Prediction]: ...
    def __call__(self, image: ImageLike | list[ImageLike]) -> Prediction | list[Prediction]:
        """Classify an image, or a list of them in batches.

        Args:
            image: a file, an image of Pillow, or uint8 RGB (H, W, 3), of any size.

        Raises:
            BadImageError: a file that cannot be read as an image.
            TypeError: something else, or an array of another type or shape.
        """
        if not isinstance(image, list):
            return self.predictions(self.logits(self.pixels(image)[None]))[0]
        answers: list[Prediction] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow works outside Python's lock
            for start in range(0, len(image), BATCH):
                pixels = np.stack(list(pool.map(self.pixels, image[start : start + BATCH])))
                answers += self.predictions(self.logits(pixels))
        return answers

    def pixels(self, image: ImageLike) -> NDArray[np.uint8]:
        """The image at the network's size, uint8 (H, W, 3), not yet normalised. Raises: as calling."""
        settings = decode_settings(self.preprocessing)
        if isinstance(image, str | Path):
            return decode(Path(image), **settings)
        if isinstance(image, Image.Image):
            return resize(as_rgb(image.copy()), **settings)
        if not (
            isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        ) or (0 in image.shape):
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise TypeError(f"An image is a path, an image of Pillow, or an array uint8 (H, W, 3) in RGB, not {what}.")
        return resize(Image.fromarray(image), **settings)

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (N, C) of resized images uint8 (N, H, W, 3)."""
        with one_thread():  # the other cores read images meanwhile
            return np.concatenate([self._batch(pixels[at : at + BATCH]) for at in range(0, len(pixels), BATCH)])

    def _batch(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = torch.tensor(pixels, device=self.device)
        return self.network(preprocess(images, self.preprocessing)).float().cpu().numpy()

    def predictions(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """Answers from logits (N, C)."""
        probabilities = softmax(logits, self.calibration.temperature)
        return [self._answer(row) for row in probabilities]

    def _answer(self, probabilities: NDArray[np.floating]) -> Prediction:
        best = int(probabilities.argmax())
        probability = float(probabilities[best])
        label = self.class_names[best] if probability >= self.calibration.threshold else UNKNOWN
        return Prediction(label, probability, dict(zip(self.class_names, probabilities.tolist(), strict=True)))


def find_device(name: str | torch.device) -> torch.device:
    """A device of this machine.

    Raises:
        UserError: there is none of that name.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # of the device "meta" nothing comes back
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise UserError(f"There is no device {str(name)!r} here ({reason}). The processor is called cpu.") from error
    return device
