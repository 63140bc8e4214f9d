"""Splits in which no group of images, such as the crops of one photograph, is in two parts."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from trashlite.errors import UserError

FINE = 20  # folds, of which a share above a third takes several


def share_groups(classes: Sequence[str], groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Part of each image; groups stay whole, and the classes are spread alike as far as that allows.

    Args:
        classes, groups: of the N images.
        shares: part -> share of the images, about; 0: no such part. The rest is `train`.

    Raises:
        UserError: fewer groups than parts, no class with enough images, or a seed that is none.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed is a whole number from 0 to 4294967295, not {seed}.")
    if not groups:
        return []
    part_of = np.full(len(groups), "train", dtype=object)
    labels, names = np.asarray(classes), np.asarray(groups)
    wanted = {part: share for part, share in shares.items() if share > 0}
    for part, share in wanted.items():
        rest = np.flatnonzero(part_of == "train")
        most = min(len(set(names[rest])), max(Counter(labels[rest]).values(), default=0))
        of_rest = max(1.0, share * len(groups)) / max(1, len(rest))
        folds = min(round(1 / of_rest) if of_rest <= 1 / 3 else FINE, most)
        if folds < 2:
            raise UserError(
                f"{len(groups)} images in {len(set(groups))} groups are too few to be shared out over train, "
                f"{', '.join(wanted)}: give a share of 0, or make the groups smaller."
            )
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes smaller than the folds are spread as far as they go
            taken = islice(split.split(rest, labels[rest], names[rest]), min(folds - 1, max(1, round(of_rest * folds))))
            aside = np.concatenate([fold for _, fold in taken])
        part_of[rest[aside]] = part
    return part_of.tolist()
