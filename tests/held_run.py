"""Run of run.py that stops at a known point and waits there for a signal.

    python held_run.py FD EPOCH ARGUMENTS

At the start of training epoch EPOCH (from 0), when everything of the epochs before is saved, it writes a line to the
file descriptor FD and waits. Who reads the other end gets that line, or the end of file if the run ended before.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "run.py"


def main() -> None:
    descriptor, epoch = map(int, sys.argv[1:3])
    sys.argv = [str(RUN), *sys.argv[3:]]
    sys.path.insert(0, str(RUN.parent))

    from callbacks.epoch_seed import EpochSeed

    seed = EpochSeed.on_train_epoch_start

    def seed_then_wait(self: EpochSeed, trainer: object, pl_module: object) -> None:
        seed(self, trainer, pl_module)  # type: ignore[arg-type]
        if trainer.current_epoch == epoch:  # type: ignore[attr-defined]
            os.write(descriptor, b"held\n")
            signal.pause()

    EpochSeed.on_train_epoch_start = seed_then_wait  # type: ignore[method-assign,assignment]
    runpy.run_path(str(RUN), run_name="__main__")


if __name__ == "__main__":
    main()
