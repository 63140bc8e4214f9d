"""Properties that an image has or has not, and how unevenly the classes have them."""

import numpy as np

from trashlite.data.audit.images import Images

SMALL = 32  # pixels of the shorter side
LONG = 3.0  # longer side over shorter side
DARK, BRIGHT = 45.0, 235.0  # mean luma
FLAT = 40.0  # levels of luma between the 1st and the 99th percentile
BLURRED = 0.12  # strongest edges as a share of the contrast
WHOLE = 0.9  # of the border's pixels


def properties_of(images: Images) -> dict[str, np.ndarray]:
    """Property -> bool (N,); the words complete "61 % of Battery ..."."""
    widths, heights = images.figures("width"), images.figures("height")
    brightness, contrast = images.figures("brightness"), images.figures("contrast")
    border = images.stacked("border")
    return {
        "has a white border": border[:, 16] >= WHOLE,
        "has a black border": border[:, 17] >= WHOLE,
        f"has a side below {SMALL} pixels": np.minimum(widths, heights) < SMALL,
        f"is {LONG:g} times as long as wide, or more": np.maximum(widths, heights)
        >= LONG * np.minimum(widths, heights),
        "stands upright": heights > widths,
        "is dark": brightness < DARK,
        "is nearly white": brightness > BRIGHT,
        "shows hardly any contrast": contrast < FLAT,
        "is blurred": images.figures("sharpness") < BLURRED,
        "is grey": np.array(["grey" in each.oddities for each in images.measured]),
    }


def shares_by_class(has: np.ndarray, labels: np.ndarray, classes: int) -> list[float]:
    """Share of each class that has a property; 0 for a class without images."""
    known = labels >= 0
    counts = np.bincount(labels[known], minlength=classes)
    return (np.bincount(labels[known], weights=has[known], minlength=classes) / np.maximum(counts, 1)).tolist()
