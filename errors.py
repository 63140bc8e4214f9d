"""The one exception whose message is meant for the person at the shell, not for a debugger."""


class UserError(ValueError):
    """A mistake that its user can mend: names the offender, the choices, and what to do.

    `run.py` shows it as plain text, without a traceback (`HYDRA_FULL_ERROR=1` shows all).
    """
