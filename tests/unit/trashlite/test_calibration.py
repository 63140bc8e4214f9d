import json
from pathlib import Path

import numpy as np
import pytest

from trashlite.calibration import (
    Calibration,
    calibrate,
    calibration_path,
    expected_calibration_error,
    find_threshold,
    fit_temperature,
    read_calibration,
    risk_coverage,
    softmax,
    write_calibration,
)
from trashlite.errors import UserError


def sharpened(temperature: float, images: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose true probabilities are their softmax at `temperature`, and targets drawn by these."""
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(images, 4))
    draws = rng.random(images)
    targets = (softmax(honest).cumsum(axis=1) < draws[:, None]).sum(axis=1)
    return honest * temperature, targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found(temperature: float) -> None:
    assert fit_temperature(*sharpened(temperature)) == pytest.approx(temperature, rel=0.05)


def test_calibration_lowers_the_error_and_keeps_the_answers() -> None:
    logits, targets = sharpened(3.0)
    found = calibrate(logits, targets)
    assert found.ece_before > 0.2
    assert found.ece < 0.02
    assert (found.threshold, found.coverage, found.images) == (0.0, 1.0, 20000)
    assert found.precision == pytest.approx((logits.argmax(axis=1) == targets).mean())


def test_expected_calibration_error_by_hand() -> None:
    """Two bins of two: confidence 0.6 with 1 of 2 right, 0.9 with 2 of 2: (0.1 + 0.1) / 2."""
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    assert expected_calibration_error(confidence, np.array([True, False, True, True]), bins=4) == pytest.approx(0.1)


def test_risk_and_coverage_by_hand() -> None:
    """The two at 0.8 are answered together."""
    thresholds, precision, coverage = risk_coverage(
        np.array([0.8, 0.9, 0.8, 0.5]), np.array([True, True, False, False])
    )
    assert thresholds.tolist() == [0.9, 0.8, 0.5]
    assert precision == pytest.approx([1, 2 / 3, 1 / 2])
    assert coverage == pytest.approx([1 / 4, 3 / 4, 1])


@pytest.mark.parametrize(("wanted", "threshold"), [(1.0, 0.9), (0.7, 0.9), (0.6, 0.8), (0.5, 0.0)])
def test_lowest_threshold_that_is_precise_enough(wanted: float, threshold: float) -> None:
    assert find_threshold(np.array([0.8, 0.9, 0.8, 0.5]), np.array([True, True, False, False]), wanted) == threshold


def test_a_precision_that_cannot_be_had_is_told_with_the_best_there_is() -> None:
    with pytest.raises(UserError, match=r"No threshold reaches a precision of 0\.9; the best is 0\.5000"):
        find_threshold(np.array([0.9, 0.9]), np.array([True, False]), 0.9)
    with pytest.raises(UserError, match="above 0 and up to 1, not 90"):
        find_threshold(np.array([0.9]), np.array([True]), 90)


def test_kept_beside_the_checkpoint_and_only_for_its_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    assert read_calibration(checkpoint) is None
    found = Calibration(1.5, 0.7, 0.9, 0.91, 0.8, 0.1, 0.02, 1000)
    assert write_calibration(checkpoint, found) == calibration_path(checkpoint)
    assert read_calibration(checkpoint) == found
    checkpoint.write_bytes(b"other weights")
    assert read_calibration(checkpoint) is None
    assert "other weights" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"temperature": 1}',
        json.dumps({"checkpoint_sha256": "", "heat": 1}),
        json.dumps({"checkpoint_sha256": "", "temperature": 0}),
        json.dumps({"checkpoint_sha256": "", "temperature": "1"}),
        json.dumps({"checkpoint_sha256": "", "threshold": 2}),
    ],
)
def test_a_broken_calibration_is_one_clear_line(tmp_path: Path, content: str) -> None:
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    calibration_path(checkpoint).write_text(content)
    with pytest.raises(UserError, match=r"best\.calibration\.json is no calibration"):
        read_calibration(checkpoint)


def test_words() -> None:
    assert Calibration().in_words() == "not calibrated"
    assert Calibration(2, ece_before=0.15, ece=0.03, images=9).in_words().endswith("2.00: 0.030 (9 validation images)")
    told = Calibration(2, 0.7, 0.9, 0.91, 0.65, 0.15, 0.03, 9).in_words()
    assert told.splitlines()[1] == "unknown below 0.700: 65.0% of them are answered, 91.0% rightly"
