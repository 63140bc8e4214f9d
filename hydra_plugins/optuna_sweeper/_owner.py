"""Which process runs a trial, and whether it still lives."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna import Trial
from optuna.trial import FrozenTrial

OWNER, BEAT = "owner", "heartbeat"  # user attributes of a trial
BEAT_SECONDS = 60
LATE_SECONDS = 300  # another machine's process is given up when it has not been heard of for so long
NAMELESS_SECONDS = 10  # from the creation of a trial to its owner's name in it: far less


def this_process() -> dict[str, Any]:
    """Host, process id and start time: a later process may get the same id."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": start_time(os.getpid())}


def start_time(pid: int) -> str | None:
    """When a process of this machine started, in ticks of its clock; "" when it is no more; None: unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "" if Path("/proc/self/stat").exists() else None
    state, *fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return "" if state in "ZX" else fields[18]


def is_alive(owner: dict[str, Any]) -> bool:
    """Whether a process of this machine still runs."""
    started = start_time(owner["pid"])
    if started is not None:
        return started == owner["started"]
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_abandoned(trial: FrozenTrial) -> bool:
    """Whether the process that ran this running trial is gone.

    On this machine the process is looked at. Elsewhere its heartbeat counts, for which the clocks of the
    machines must agree within some minutes.
    """
    owner = trial.user_attrs.get(OWNER)
    if owner is None:  # its process has just begun it, or was killed at that moment
        assert trial.datetime_start is not None
        return time.time() - trial.datetime_start.timestamp() > NAMELESS_SECONDS
    if owner["host"] == socket.gethostname():
        return not is_alive(owner)
    return time.time() - trial.user_attrs.get(BEAT, 0) > LATE_SECONDS


class Heartbeat:
    """Tells other machines, while a batch of trials runs, that this process lives.

    Optuna's own heartbeat is for `Study.optimize`, and its journal storage has none.
    """

    def __init__(self, trials: list[Trial], on_error: Callable[[Exception], None]) -> None:
        self.trials, self.on_error = trials, on_error
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self) -> None:
        while not self.done.wait(BEAT_SECONDS):
            for trial in self.trials:
                try:
                    trial.set_user_attr(BEAT, time.time())
                except Exception as error:  # the next beat may get through
                    self.on_error(error)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
