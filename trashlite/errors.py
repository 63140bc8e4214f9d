"""Exceptions with a meaning: a message for the person at the shell, and a trial that ended early on purpose."""


class UserError(ValueError):
    """A mistake that its user can mend: names the offender, the choices, and what to do.

    `run.py` shows it as plain text, without a traceback (`HYDRA_FULL_ERROR=1` shows all).
    """


class OverBudget(UserError):  # noqa: N818
    """A network costs more than `max_macs` allows; `macs` is what it costs."""

    def __init__(self, message: str, macs: int) -> None:
        super().__init__(message)
        self.macs = macs


class Pruned(Exception):  # noqa: N818
    """A trial of a sweep ended early because it had no hope: neither a success nor a failure.

    Args:
        reason: for people.
        figures: what had been measured by then.
    """

    def __init__(self, reason: str, figures: dict[str, float] | None = None) -> None:
        super().__init__(reason, figures or {})
        self.reason, self.figures = reason, figures or {}

    def __str__(self) -> str:
        return self.reason
