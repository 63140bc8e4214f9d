"""The conditional part of the search space of `+sweep=hpo`: optimizer, loss and the strength of augmentation.

What depends on nothing stands in conf/sweep/hpo.yaml.
"""

from typing import Any

from omegaconf import DictConfig
from optuna import Trial


def hpo_space(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides of one recipe for the network of `cfg`."""
    return {**draw_optimizer(trial), **draw_loss(trial), **scaled_augmentation(draw_strength(trial))}


def draw_optimizer(trial: Trial) -> dict[str, Any]:
    """AdamW or SGD, each within its own learning rates and weight decays."""
    name = trial.suggest_categorical("optimizer", ("adamw", "sgd"))
    (lr_low, lr_high), (decay_low, decay_high) = {
        "adamw": ((5e-4, 2e-2), (1e-3, 0.3)),
        "sgd": ((1e-2, 0.5), (1e-5, 1e-3)),
    }[name]
    return {
        "optimizer": name,
        "optimizer.lr": trial.suggest_float(f"{name}.lr", lr_low, lr_high, log=True),
        "optimizer.weight_decay": trial.suggest_float(f"{name}.weight_decay", decay_low, decay_high, log=True),
    }


def draw_loss(trial: Trial) -> dict[str, Any]:
    """A loss and what only it has."""
    name = trial.suggest_categorical("loss", ("cross_entropy", "f1_ce", "focal", "logit_adjusted"))
    settings: dict[str, Any] = {"loss": name}
    match name:
        case "cross_entropy":
            settings["loss.label_smoothing"] = trial.suggest_float("label_smoothing", 0, 0.2)
            settings["loss.class_weights"] = trial.suggest_categorical("class_weights", (None, "balanced"))
        case "f1_ce":
            settings["loss.terms.1.weight"] = trial.suggest_float("f1_ce.cross_entropy_weight", 0.1, 4, log=True)
            settings["loss.terms.1.label_smoothing"] = trial.suggest_float("label_smoothing", 0, 0.2)
        case "focal":
            settings["loss.gamma"] = trial.suggest_float("focal.gamma", 0.5, 3)
        case "logit_adjusted":
            settings["loss.tau"] = trial.suggest_float("logit_adjusted.tau", 0.2, 1.5)
    return settings


def draw_strength(trial: Trial) -> float:
    return trial.suggest_float("augmentation.strength", 0, 2)


def scaled_augmentation(strength: float) -> dict[str, Any]:
    """Geometry, colour, erasing and RandAugment from one number in [0, 2].

    0: flips only. 1: the default policy and a RandAugment operation of half magnitude. 2: all of it twice.
    """
    amounts = {
        "geometry.min_crop_area": 1 - 0.4 * strength,
        "geometry.max_crop_ratio": 1 + 0.2 * strength,
        "geometry.rotate": 15 * strength,
        "geometry.translate": 0.05 * strength,
        "geometry.shear": 5 * strength,
        "colour.brightness": 0.2 * strength,
        "colour.contrast": 0.2 * strength,
        "colour.saturation": 0.2 * strength,
        "erasing.probability": 0.25 * strength,
        "policy.magnitude": 4.5 * strength,
    }
    rounded = {f"augmentation.{key}": round(value, 4) for key, value in amounts.items()}
    return {**rounded, "augmentation.policy.num_ops": round(strength)}
