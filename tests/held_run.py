"""Run of run.py that stops at a known point and waits there for a signal.

    HELD_AT=NUMBER HELD_FILE=PATH python held_run.py ARGUMENTS

At the first batch of the training epoch before which this process has trained NUMBER others, when everything of
those is saved, it makes the file and waits.
"""

import os
import runpy
import signal
import sys
from itertools import count
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "run.py"


def main() -> None:
    sys.argv[0] = str(RUN)
    sys.path.insert(0, str(RUN.parent))

    from callbacks.epoch_seed import EpochSeed

    begun = count()

    def wait(self: EpochSeed, trainer: object, pl_module: object, batch: object, batch_idx: int) -> None:
        if batch_idx == 0 and next(begun) == int(os.environ["HELD_AT"]):
            Path(os.environ["HELD_FILE"]).touch()
            signal.pause()

    EpochSeed.on_train_batch_start = wait  # type: ignore[method-assign]
    runpy.run_path(str(RUN), run_name="__main__")


if __name__ == "__main__":
    main()
