"""Processes that run trials: who they are, and whether they still live."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEAT_SECONDS = 60
LATE_SECONDS = 300  # another machine's process is given up when nothing has been heard of it for so long
MARKER = ".running.json"  # in a job's folder, while it runs


def this_host() -> str:
    """The machine; of a container too, whose processes have numbers of their own."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def this_process() -> dict[str, Any]:
    """Host, process id and start time: a later process may get the same id."""
    return {"host": this_host(), "pid": os.getpid(), "started": start_time(os.getpid())}


def start_time(pid: int) -> str | None:
    """Start of a process of this machine, in ticks of its clock; "" when it is no more; None: unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
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


def read_marker(folder: Path) -> dict[str, Any] | None:
    """The process that runs the job of this folder, as it wrote itself; None: no job runs."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


class Watch:
    """Looks after processes: those of this machine by their number, others by the signs of life that they give.

    A sign counts when it changes under the eyes of this process, so the clocks of machines need not agree.
    """

    def __init__(self) -> None:
        self.seen: dict[Any, tuple[Any, float]] = {}

    def is_gone(self, key: Any, owner: dict[str, Any] | None, sign: Any, patience: float = LATE_SECONDS) -> bool:
        """Whether the process of `owner` is dead, or `sign` has been the same for `patience` seconds."""
        if owner and owner["host"] == this_host():
            return not is_alive(owner)
        now = time.monotonic()
        last, since = self.seen.get(key, (None, now))
        if key not in self.seen or last != sign:
            self.seen[key] = (sign, now)
            return False
        return now - since > patience

    def is_job_gone(self, folder: Path) -> bool:
        """Whether no process runs the job of this folder."""
        owner = read_marker(folder)
        if owner is None or owner == this_process():  # a job within this process is over when it comes to ask
            return True
        try:
            sign = (folder / MARKER).stat().st_mtime_ns
        except FileNotFoundError:
            return True
        return self.is_gone(folder, owner, sign)


class Heartbeat:
    """Calls `beat` now and then, in a thread of its own, as a sign that this process lives."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self.beat = beat
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.go_on, daemon=True)

    def go_on(self) -> None:
        while not self.done.wait(BEAT_SECONDS):
            self.beat()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
