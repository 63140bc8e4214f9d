"""Filters for warnings of Lightning that say nothing to a user of the training loop."""

import warnings

NOISE = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # inside Lightning itself
    "The number of training batches",  # figures are logged by the epoch
    "Checkpoint directory .* exists and is not empty",  # so it is when a run is resumed
    "The '.*_dataloader' does not have many workers",  # the cache is faster without
    r"Found \d+ module\(s\) in eval mode",  # BatchNorm that was frozen on purpose
    "Grad strides do not match bucket view strides",  # depthwise kernels in channels_last, on several devices
)


def silence() -> None:
    """Ignore them, after the import of Lightning, which sets filters of its own."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
