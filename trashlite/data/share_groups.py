"""Splits in which no group of images, such as the crops of one photograph, is in two parts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from trashlite.errors import UserError


def share_groups(classes: Sequence[str], groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Part of each image; groups stay whole, and each class is spread by the shares as far as that allows.

    Class after class, the rarest first, each group goes to the part that still lacks most of the class (Sechidis et
    al. 2011, doi:10.1007/978-3-642-23808-6_10). A class of one group is trained on; one of as many groups as there are
    parts has an image in each. scikit-learn's StratifiedGroupKFold knows equal folds only, and leaves rare classes to
    chance.

    Args:
        classes, groups: of the N images.
        shares: part -> share of the images, about; 0: no such part. The rest is `train`.

    Raises:
        UserError: too few groups for the parts, or a seed below 0.
    """
    if seed < 0:
        raise UserError(f"--seed is a whole number of at least 0, not {seed}.")
    parts = {"train": 1 - sum(shares.values())} | {part: share for part, share in shares.items() if share > 0}
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for name, group in zip(classes, groups, strict=True):
        held[group][name] += 1
    order = [[*held][at] for at in np.random.default_rng(seed).permutation(len(held))]
    holding = {name: [group for group in order if name in held[group]] for name in sorted({*classes})}
    # One image at least to train on, and where there are enough, one for each part.
    lacking = {
        part: {
            name: max(share * sum(held[group][name] for group in found), part == "train" or len(found) >= len(parts))
            for name, found in holding.items()
        }
        for part, share in parts.items()
    }
    part_of: dict[str, str] = {}
    for name in sorted(holding, key=lambda name: len(holding[name])):
        for group in sorted(holding[name], key=lambda group: -held[group][name]):
            if group not in part_of:
                part_of[group] = max(parts, key=lambda part: lacking[part][name])
                for each, count in held[group].items():
                    lacking[part_of[group]][each] -= count
    if held and {*part_of.values()} < {*parts}:
        raise UserError(
            f"{len(groups)} images in {len(held)} groups are too few to be shared out over {', '.join(parts)}: give a "
            "share of 0, or make the groups smaller."
        )
    return [part_of[group] for group in groups]
