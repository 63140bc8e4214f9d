"""Signs of life of processes."""

import os
import subprocess
import sys

from trashlite.sweeps import processes


def test_this_process_lives_and_another_with_its_id_does_not() -> None:
    owner = processes.this_process()
    assert processes.is_alive(owner)
    assert not processes.is_alive({**owner, "started": "1"})
    process = subprocess.Popen([sys.executable, "-c", ""])
    process_owner = {**owner, "pid": process.pid, "started": processes.start_time(process.pid)}
    process.wait()
    assert not processes.is_alive(process_owner)
    assert processes.start_time(os.getpid()) == owner["started"]
