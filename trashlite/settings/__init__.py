"""Settings of a run: their types, bounds and choices, given once, and a check of them before anything runs."""

from trashlite.settings.check import check_settings

__all__ = ["check_settings"]
