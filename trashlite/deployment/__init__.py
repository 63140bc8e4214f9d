"""A checkpoint comes in, something that runs without us goes out."""

from trashlite.deployment.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor"]
