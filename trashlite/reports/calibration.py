"""Picture of how far probabilities can be believed, and what it costs to answer only when sure."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trashlite.calibration import Calibration, reliability, risk_coverage, softmax
from trashlite.reports.pictures import new_figure


def calibration_figure(logits: NDArray[np.floating], targets: NDArray[np.integer], calibration: Calibration) -> Figure:
    """Reliability diagram before and after, and the risk of the answers by their coverage.

    Args:
        logits: (N, C) of labelled images.
        targets: (N,).
        calibration: found on these.
    """
    figure = new_figure(9, 4.2)
    left, right = figure.subplots(1, 2)
    answered_right = logits.argmax(axis=1) == targets
    left.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
    for temperature, name, error in (
        (1.0, "as trained", calibration.ece_before),
        (calibration.temperature, f"temperature {calibration.temperature:.2f}", calibration.ece),
    ):
        bins = reliability(softmax(logits, temperature).max(axis=1), answered_right)
        _, confidence, accuracy = zip(*bins, strict=True)
        left.plot(confidence, accuracy, marker="o", markersize=4, label=f"{name}: error {error:.3f}")
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability told", ylabel="share of right answers")
    left.set_title("Reliability", fontsize=10)
    left.legend(fontsize=8, loc="upper left")

    confidence = softmax(logits, calibration.temperature).max(axis=1)
    _, precision, coverage = risk_coverage(confidence, answered_right)
    right.plot(coverage, 1 - precision)
    if calibration.threshold:
        wrong = 1 - float(calibration.precision or 0)
        text = f"below {calibration.threshold:.2f} unknown:\n{calibration.coverage:.1%} answered, {wrong:.1%} wrong"
        right.plot(calibration.coverage, wrong, marker="o", color="black")
        right.annotate(
            text, (calibration.coverage, wrong), (0.04, 0.9), textcoords="axes fraction", va="top", fontsize=8
        )
    right.set(xlim=(0, 1), ylim=(0, None), xlabel="share of images answered", ylabel="share of wrong answers")
    right.set_title(f"Risk and coverage on {len(targets)} validation images", fontsize=10)
    figure.tight_layout()
    return figure
