"""Checks of augmentation settings."""

from math import inf

from trashlite.errors import UserError


def check_between(setting: str, value: float, low: float, high: float = inf) -> float:
    """Return `value` if it is a number from `low` to `high`; raise UserError naming `setting` otherwise."""
    if not isinstance(value, int | float) or not low <= value <= high:
        choices = f"of at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
        raise UserError(f"augmentation.{setting} is {value!r}: choose a number {choices}.")
    return value
