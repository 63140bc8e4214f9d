"""The search spaces of `+sweep=nas` and `+sweep=nas_lite0`: a network and its input, drawn one choice after the other.

Built for 0.5 to 5 million MACs. There the first layers cost most, so widths grow and strides come early: a map is
halved until its shorter side is `FREE_SIDE` at most, and kept from `LAST_SIDE` on; between the two the trial chooses.
"""

from typing import Any

from omegaconf import DictConfig
from optuna import Trial

from trashlite.backbones.block_net import LITE0_BLOCKS

LANDSCAPES = ("24x36", "32x48", "40x56", "48x64")  # height x width
FREE_SIDE = 12
LAST_SIDE = 5
FULL_STEM_SIDE = 40  # images of at most this height may keep their resolution in the stem
LITE0_FULL_STEM_SIDE, LITE0_FREE_SIDE = 24, 8  # its layers are wide
# Of the stages, from the first: fewest and most channels, and their step.
CHANNELS = ((8, 24, 4), (16, 40, 8), (24, 80, 8), (48, 112, 16))
EARLY_KINDS = ("ds", "ir", "er", "sn")  # of the first two stages: later, fused blocks would eat the budget
LATE_KINDS = ("ds", "ir", "sn")
DEPTHWISE_KERNELS = ("3", "5", "3.5", "3.5.7")


def nas_space(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides that make one network and its input; every point is a valid one.

    Args:
        cfg: a configuration with `backbone=block_net`.
    """
    image_size, resize_mode = draw_input(trial)
    side = image_size[0]
    stem = trial.suggest_categorical("stem.type", ("conv3", "conv5", "conv3_pool"))
    stem_size = trial.suggest_int("stem.width", 8, 24, step=4)
    stem_stride = trial.suggest_categorical("stem.stride", (1, 2)) if side <= FULL_STEM_SIDE else 2
    side = halved(side, stem_stride)
    blocks = []
    if stem == "conv3_pool":
        blocks.append("mp_k3_s2")
        side = halved(side, 2)
    channels = stem_size
    for stage in range(trial.suggest_int("stages", 2, len(CHANNELS))):
        stride = draw_stride(trial, stage, side)
        block, channels = draw_block(trial, stage, channels, stride)
        blocks.append(block)
        side = halved(side, stride)
    return {
        "image_size": image_size,
        "resize_mode": resize_mode,
        "backbone.kwargs.stem_size": stem_size,
        "backbone.kwargs.stem_kernel": 5 if stem == "conv5" else 3,
        "backbone.kwargs.stem_stride": stem_stride,
        "backbone.kwargs.blocks": blocks,
        "backbone.kwargs.head_size": trial.suggest_int("last_width", 0, 320, step=64),
        "backbone.kwargs.act_layer": trial.suggest_categorical("activation", ("relu", "hard_swish")),
    }


def lite0_space(cfg: DictConfig, trial: Trial) -> dict[str, Any]:
    """Overrides that cut EfficientNet-Lite0 short in stages, blocks and resolution; what is left keeps its weights.

    Args:
        cfg: a configuration with `backbone=lite0_cut`.
    """
    image_size, resize_mode = draw_input(trial)
    stem_stride = trial.suggest_categorical("stem.stride", (1, 2)) if image_size[0] <= LITE0_FULL_STEM_SIDE else 2
    side = halved(image_size[0], stem_stride)
    blocks = []
    for stage in range(trial.suggest_int("stages", 2, 4)):
        kind, repeats, kernel, _, *rest = LITE0_BLOCKS[stage].split("_")
        # the first stage is cheap at any size, and has a stride of 1 in Lite0
        stride = draw_stride(trial, stage, side, free_side=max(image_size) if stage == 0 else LITE0_FREE_SIDE)
        repeats = f"r{trial.suggest_int(f'stage{stage}.repeats', 1, int(repeats[1:]))}"
        blocks.append("_".join([kind, repeats, kernel, f"s{stride}", *rest]))
        side = halved(side, stride)
    return {
        "image_size": image_size,
        "resize_mode": resize_mode,
        "backbone.kwargs.stem_stride": stem_stride,
        "backbone.kwargs.blocks": blocks,
    }


def draw_input(trial: Trial) -> tuple[list[int], str]:
    """Height and width, and how photographs are brought to them."""
    resize_mode = trial.suggest_categorical("input.resize_mode", ("stretch", "letterbox", "landscape"))
    if resize_mode == "landscape":
        size = [int(side) for side in trial.suggest_categorical("input.landscape", LANDSCAPES).split("x")]
    else:
        size = [trial.suggest_int("input.side", 24, 64, step=8)] * 2
    return size, resize_mode


def halved(side: int, stride: int) -> int:
    return -(-side // stride)


def draw_stride(trial: Trial, stage: int, side: int, free_side: int = FREE_SIDE) -> int:
    """1 or 2; only for a map of middling size is there a choice."""
    if side > free_side:
        return 2
    if side <= LAST_SIDE:
        return 1
    return trial.suggest_categorical(f"stage{stage}.stride", (1, 2))


def draw_block(trial: Trial, stage: int, in_channels: int, stride: int) -> tuple[str, int]:
    """The block string of a stage, and the channels that come out of it."""
    name = f"stage{stage}"
    kind = trial.suggest_categorical(f"{name}.kind", EARLY_KINDS if stage < 2 else LATE_KINDS)
    options = [f"r{trial.suggest_int(f'{name}.repeats', 1, 3)}"]
    if kind == "sn" and stride == 1:  # a shuffle unit can change its channels only where it halves the map
        channels = in_channels
    else:
        low, high, step = CHANNELS[stage]
        channels = trial.suggest_int(f"{name}.channels", low, high, step=step)
    match kind:
        case "ds" | "ir":
            options.append(f"k{trial.suggest_categorical(f'{name}.kernel', DEPTHWISE_KERNELS)}")
        case "sn":
            options.append(f"k{trial.suggest_categorical(f'{name}.shuffle_kernel', ('3', '5'))}")
        case "er":
            options.append("k3")
    options += [f"s{stride}", f"c{channels}"]
    match kind:
        case "ir":
            options.append(f"e{trial.suggest_int(f'{name}.expansion', 2, 6)}")
        case "er":
            options.append(f"e{trial.suggest_int(f'{name}.fused_expansion', 1, 2)}")
    if kind in ("ds", "ir") and trial.suggest_categorical(f"{name}.squeeze_excite", (False, True)):
        options.append("se0.25")
    if trial.suggest_categorical(f"{name}.hard_swish", (False, True)):
        options.append("nhs")
    return "_".join([kind, *options]), channels
