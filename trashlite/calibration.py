"""Probabilities one can believe, and when to answer "unknown": a temperature and a threshold."""

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import minimize_scalar

from trashlite.errors import UserError
from trashlite.files import sha256, write_text

log = logging.getLogger(__name__)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Calibration:
    """Calibration: the way from logits to answers, and the quality of these on validation.

    Args:
        temperature: logits are divided by it before the softmax.
        threshold: largest probability below which the answer is "unknown"; 0: never.
        min_precision: share of right answers that was asked for; None: every image is answered.
        precision: share of right ones among the answers given.
        coverage: share of images that get an answer.
        ece_before, ece: expected calibration error without and with the temperature.
        images: that it was found on.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    min_precision: float | None = None
    precision: float | None = None
    coverage: float = 1.0
    ece_before: float | None = None
    ece: float | None = None
    images: int = 0

    def in_words(self) -> str:
        """Temperature, threshold and quality, in one or two lines."""
        if self.ece is None or self.ece_before is None:
            return "not calibrated"
        error = f"calibration error {self.ece_before:.3f}, with temperature {self.temperature:.2f}: {self.ece:.3f}"
        if self.min_precision is None:
            return f"{error} ({self.images} validation images)"
        answered = f"{self.coverage:.1%} of them are answered, {self.precision:.1%} rightly"
        return f"{error} ({self.images} validation images)\nunknown below {self.threshold:.3f}: {answered}"


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (N, C) of logits (N, C)."""
    return special.softmax(logits.astype(np.float64) / temperature, axis=1)


def calibrate(
    logits: NDArray[np.floating], targets: NDArray[np.integer], min_precision: float | None = None
) -> Calibration:
    """The temperature of least cross entropy, and the lowest threshold that reaches `min_precision`.

    Args:
        logits: (N, C) of labelled images that the network was not trained on.
        targets: (N,).

    Raises:
        UserError: no images, or no threshold is precise enough.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017 (temperature scaling).
    """
    if not len(targets):
        raise UserError("There are no labelled images to calibrate with.")
    temperature = fit_temperature(logits, targets)
    probabilities = softmax(logits, temperature)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    threshold = 0.0 if min_precision is None else find_threshold(confidence, right, min_precision)
    answered = confidence >= threshold
    before = softmax(logits)
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        min_precision=min_precision,
        precision=float(right[answered].mean()),
        coverage=float(answered.mean()),
        ece_before=expected_calibration_error(before.max(axis=1), before.argmax(axis=1) == targets),
        ece=expected_calibration_error(confidence, right),
        images=len(targets),
    )


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """The temperature between 0.05 and 20 whose softmax has the least cross entropy on `targets`."""

    def cross_entropy(log_temperature: float) -> float:
        likelihoods = special.log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -float(likelihoods[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def find_threshold(confidence: NDArray[np.floating], right: NDArray[np.bool_], min_precision: float) -> float:
    """The lowest confidence (N,) from which on upwards at least `min_precision` of the answers are `right` (N,).

    Raises:
        UserError: there is none.
    """
    if not 0 < min_precision <= 1:
        raise UserError(f"min_precision must lie above 0 and up to 1, not {min_precision}.")
    thresholds, precision, _ = risk_coverage(confidence, right)
    enough = np.flatnonzero(precision >= min_precision)
    if not len(enough):
        raise UserError(
            f"No threshold reaches a precision of {min_precision}; the best is {precision.max():.4f} of "
            f"{len(right)} validation images. Ask for less."
        )
    return 0.0 if enough[-1] == len(thresholds) - 1 else float(thresholds[enough[-1]])


def risk_coverage(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds (K,) falling, and the precision and coverage (K,) of the answers at or above each."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order].astype(np.float64)
    count = np.arange(1, len(order) + 1)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # equal confidences are answered together
    return ordered[last], (right[order].cumsum() / count)[last], (count / len(order))[last]


def expected_calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean distance between confidence (N,) and the share of `right` (N,), over `bins` of equal width.

    Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    return float(sum(share * abs(mean - accuracy) for share, mean, accuracy in reliability(confidence, right, bins)))


def reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15
) -> list[tuple[float, float, float]]:
    """Share of the images, mean confidence and accuracy of each bin of equal width that is not empty."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    chosen = [place == number for number in range(bins) if (place == number).any()]
    return [(float(each.mean()), float(confidence[each].mean()), float(right[each].mean())) for each in chosen]


def calibration_path(checkpoint: str | Path) -> Path:
    """Path of a checkpoint's calibration: beside it."""
    return Path(checkpoint).with_suffix(".calibration.json")


def write_calibration(checkpoint: str | Path, calibration: Calibration) -> Path:
    """Write a checkpoint's calibration beside it, with the checkpoint's SHA-256."""
    content = {**asdict(calibration), "checkpoint_sha256": sha256(checkpoint)}
    path = calibration_path(checkpoint)
    write_text(path, json.dumps(content, indent=2))
    return path


def read_calibration(checkpoint: str | Path) -> Calibration | None:
    """The calibration beside a checkpoint; None where there is none, or where it is of other weights.

    Raises:
        UserError: the file is there but cannot be read.
    """
    path = calibration_path(checkpoint)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        digest = content.pop("checkpoint_sha256")
        calibration = Calibration(**content)
        if not (0 < calibration.temperature < math.inf and 0 <= calibration.threshold <= 1):
            raise ValueError(f"temperature {calibration.temperature}, threshold {calibration.threshold}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is no calibration ({error!r}). Remove it, or run make calibrate.") from error
    if digest != sha256(checkpoint):
        log.warning("%s belongs to other weights than %s and is not used: run make calibrate.", path, checkpoint)
        return None
    return calibration
