"""Classify images with model.onnx beside this file: python infer.py IMAGE... (needs onnxruntime, numpy, Pillow)."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Classifier:
    """Classes, resize, temperature and threshold come with the model; normalisation is inside it.

    >>> label, probability = Classifier("model.onnx")("bottle.jpg")
    """

    def __init__(self, model: str | Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.class_names, self.preprocessing = (json.loads(metadata[key]) for key in ("class_names", "preprocessing"))
        self.temperature, self.threshold = (float(metadata[key]) for key in ("temperature", "threshold"))

    def __call__(self, image: str | Path | Image.Image | np.ndarray) -> tuple[str, float]:
        """Label and probability of a file, an image of Pillow, or a uint8 array (H, W, 3) in RGB."""
        logits = self.logits(self.pixels(image)[None])[0] / self.temperature
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        best, probability = int(probabilities.argmax()), float(probabilities.max())
        return self.class_names[best] if probability >= self.threshold else "unknown", probability

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of resized pixels, uint8 (N, height, width, 3)."""
        return self.session.run(None, {"pixels": pixels})[0]

    def pixels(self, image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
        """The image as the network takes it, uint8 (height, width, 3)."""
        height, width = self.preprocessing["image_size"]
        box = self.preprocessing["kernel"] == "box"
        if isinstance(image, np.ndarray | Image.Image):
            image = image.copy() if isinstance(image, Image.Image) else Image.fromarray(image)
        else:
            image = Image.open(image)
            if not box:  # a JPEG decoder may skip detail, as it did in training
                image.draft(None, (2 * max(height, width),) * 2)
        image = as_rgb(image)
        if (mode := self.preprocessing["resize_mode"]) == "landscape" and image.height > image.width:
            image = image.transpose(Image.Transpose.ROTATE_90)
        scale = min(width / image.width, height / image.height)
        size = tuple(max(1, round(side * scale)) for side in image.size) if mode == "letterbox" else (width, height)
        kernel, gap = (Image.Resampling.BOX, None) if box else (Image.Resampling.BILINEAR, 2.0)
        whole = Image.new("RGB", (width, height), (114, 114, 114))
        whole.paste(image.resize(size, kernel, reducing_gap=gap), ((width - size[0]) // 2, (height - size[1]) // 2))
        return np.asarray(whole)


def as_rgb(image: Image.Image) -> Image.Image:
    """Upright; transparency on white; greys of more than 8 bits scaled."""
    image.load()
    with suppress(Exception):  # broken EXIF beside sound pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
        full = max(1 if image.mode == "F" else 4095 if grey.max() <= 4095 else 65535, float(grey.max()))
        image = Image.fromarray(np.clip(np.rint(grey * (255 / full)), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


if __name__ == "__main__":
    classify = Classifier(Path(__file__).with_name("model.onnx"))
    for file in sys.argv[1:]:
        try:
            print(file, *classify(file))
        except (OSError, Image.DecompressionBombError) as error:  # no such file, no image, or a far too large one
            sys.exit(f"{file}: {error}")
