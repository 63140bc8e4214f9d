import numpy as np
import pytest

from callbacks.calibration import ProbabilityCalibration


def test_a_precision_out_of_reach_is_told_and_fails_no_run(caplog: pytest.LogCaptureFixture) -> None:
    logits, targets = np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([0, 1])
    found = ProbabilityCalibration("out", min_precision=0.9)._calibrate(logits, targets)
    assert "the best is 0.5000" in caplog.text
    assert "Every image is answered" in caplog.text
    assert (found.threshold, found.min_precision, found.coverage) == (0.0, None, 1.0)
