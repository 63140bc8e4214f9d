"""Predictions of many images: a table with a row for each, whatever becomes of the image, and a sample to look at."""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trashlite.data.decode import BadImageError, read_rgb
from trashlite.deployment.predictor import Prediction, Predictor
from trashlite.deployment.sources import Shot, Source

BATCH = 64  # images in flight
SHOWN = 48  # thumbnails
THUMBNAIL = 160  # pixels


@dataclass(frozen=True)
class Answer:
    """Outcome of a shot: a prediction, or the reason why it could not be read."""

    shot: Shot
    prediction: Prediction | None
    why: str = ""


@dataclass
class Predictions:
    """All answers as text, without the images.

    Attributes:
        columns, rows: of predictions.csv; what could not be read has no label.
        bad: names and reasons of those.
        labels: how often each was given.
        thumbnails: uint8 (H, W, 3) of some shots, spread over all, with their `titles`.
        seconds: from the first shot to the last answer.
    """

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    thumbnails: list[NDArray[np.uint8]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second."""
        return len(self.rows) / max(self.seconds, 1e-9)


def collect(predictor: Predictor, source: Source, tell: Callable[[Answer], None] = lambda answer: None) -> Predictions:
    """Predict all of a source; a live one until its user presses Ctrl-C.

    Args:
        tell: called with each answer as it comes.
    """
    head = ["frame", "second"] if source.frames else ["file"]
    found = Predictions([*head, "label", "probability", *predictor.class_names])
    every, start = 1, time.perf_counter()
    with suppress(*((KeyboardInterrupt,) if source.live else ())):
        for number, answer in enumerate(predict(predictor, source)):
            _add(found, answer, source.frames)
            if number % every == 0 and answer.prediction is not None:
                found.thumbnails.append(_thumbnail(answer.shot))
                found.titles.append(f"{answer.prediction.label} {answer.prediction.probability:.0%}")
                if len(found.thumbnails) == 2 * SHOWN:  # too many: every other one goes, and half as many come
                    del found.thumbnails[1::2], found.titles[1::2]
                    every *= 2
            tell(answer)
    found.seconds = time.perf_counter() - start
    return found


def predict(predictor: Predictor, source: Source) -> Iterator[Answer]:
    """Answers in the order of the shots; while a batch goes through the network, the next one is read."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow works outside Python's lock
        waiting: list[tuple[Shot, Future]] = []
        for shots in _batches(source.shots, 1 if source.live else BATCH):
            reading = [(shot, pool.submit(_pixels, predictor, shot)) for shot in shots]
            if source.live:
                yield from _answers(predictor, reading)
            else:
                yield from _answers(predictor, waiting)
                waiting = reading
        yield from _answers(predictor, waiting)


def _batches(shots: Iterator[Shot], size: int) -> Iterator[list[Shot]]:
    while batch := list(itertools.islice(shots, size)):
        yield batch


def _pixels(predictor: Predictor, shot: Shot) -> NDArray[np.uint8] | str:
    try:
        return predictor.pixels(shot.image)
    except BadImageError as error:
        return error.why


def _answers(predictor: Predictor, reading: Sequence[tuple[Shot, Future]]) -> Iterator[Answer]:
    results = [future.result() for _, future in reading]
    good = [pixels for pixels in results if not isinstance(pixels, str)]
    predictions = iter(predictor.predictions(predictor.logits(np.stack(good))) if good else ())
    for (shot, _), pixels in zip(reading, results, strict=True):
        yield Answer(shot, None, pixels) if isinstance(pixels, str) else Answer(shot, next(predictions))


def _add(found: Predictions, answer: Answer, frames: bool) -> None:
    shot, prediction = answer.shot, answer.prediction
    head = [shot.name]
    if frames:
        head.append("" if shot.second is None else f"{shot.second:.3f}")
    if prediction is None:
        found.bad.append((shot.name, answer.why))
        found.rows.append([*head, *[""] * (len(found.columns) - len(head))])
        return
    found.labels[prediction.label] += 1
    chances = (prediction.probability, *prediction.probabilities.values())
    found.rows.append([*head, prediction.label, *(f"{chance:.6f}" for chance in chances)])


def _thumbnail(shot: Shot) -> NDArray[np.uint8]:
    image = Image.fromarray(shot.image) if isinstance(shot.image, np.ndarray) else read_rgb(shot.image, THUMBNAIL)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)
