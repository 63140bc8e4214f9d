"""Storage of a study that waits while its server is away."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

log = logging.getLogger(__name__)

PATIENCE = 90.0  # seconds: a server that restarts, or a network that comes back
PAUSE = 1.0
AWAY = (OperationalError, InterfaceError, PendingRollbackError)


class PatientStorage(RDBStorage):
    """Optuna's storage, each call of which is tried again for `PATIENCE` seconds while the server does not answer.

    A call may be repeated whose first try came through unheard. The worst that comes of it is a trial that nobody
    owns, which the next process takes for abandoned. The first connection is not waited for: its address may be wrong.

    Args:
        url: address with its password.
        name: address for messages, without.
        options: of SQLAlchemy's engine.
    """

    away_since: float | None = None
    is_open = False

    def __init__(self, url: str, name: str, options: dict[str, Any]) -> None:
        self.name = name
        super().__init__(url, engine_kwargs=options)
        self.is_open = True

    def wait_or_raise(self, error: Exception) -> None:
        """Wait a moment, told of once; raise what is no absence of the server, or one that is too long."""
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        if not self.is_open or not isinstance(cause, AWAY):
            raise error
        if self.away_since is None:
            self.away_since = time.monotonic()
            reason = str(cause.orig if isinstance(cause, DBAPIError) else cause).strip().partition("\n")[0]
            log.warning("The study's storage %s is away (%s): waiting up to %.0f s.", self.name, reason, PATIENCE)
        if time.monotonic() - self.away_since > PATIENCE:
            raise error
        time.sleep(PAUSE)

    def has_answered(self) -> None:
        if self.away_since is not None:
            log.warning("The study's storage answers again after %.0f s.", time.monotonic() - self.away_since)
            self.away_since = None


def patient(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the storage that waits; within another one the outer waits too, but not longer."""

    @functools.wraps(method)
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                result = method(self, *args, **kwargs)
            except (StorageInternalError, *AWAY) as error:
                self.wait_or_raise(error)
            else:
                self.has_answered()
                return result

    return call


for name in dir(RDBStorage):  # what a study calls, and (with an underscore) Optuna's cache
    if name.startswith(("create_", "delete_", "get_all", "get_best", "get_study", "get_trial", "set_")) or name in (
        "_create_new_trial",
        "_set_trial_param",
        "_get_best_trial_id",
        "_get_trials",
    ):
        setattr(PatientStorage, name, patient(getattr(RDBStorage, name)))
