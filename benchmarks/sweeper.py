"""What the sweeper costs a trial, beside hydra-optuna-sweeper: python benchmarks/sweeper.py [--trials 1000] [--peer PYTHON].

A program of milliseconds (tests/sweep_app) is swept with SQLite storage. Time inside the launcher, which composes the
configuration and runs the job, is the same for every sweeper and is told apart. PYTHON is an interpreter with
hydra-optuna-sweeper installed: it pins optuna<3 and SQLAlchemy<2, so that it needs an environment of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Runs in the interpreter under test: times the launcher, and the sweep around it.
PROBE = """
import runpy, sys, time
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
inside, ends = [], []
launch = BasicLauncher.launch
def timed(self, *args, **kwargs):
    start = time.perf_counter()
    try:
        return launch(self, *args, **kwargs)
    finally:
        ends.append(time.perf_counter())
        inside.append(ends[-1] - start)
BasicLauncher.launch = timed
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    gaps = [ends[i + 1] - ends[i] - inside[i + 1] for i in range(len(ends) - 1)]
    part = max(1, len(gaps) // 10)
    mean = lambda values: 1000 * sum(values) / len(values)
    print("RESULT", len(ends), mean(gaps), mean(gaps[:part]), mean(gaps[-part:]), mean(inside))
"""
APP = '''
import hydra
@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    return cfg.x ** 2
if __name__ == "__main__":
    main()
'''
PEER_CONFIG = """
defaults: [override hydra/sweeper: optuna, _self_]
x: 0.0
hydra:
  sweep: {dir: sweep}
  sweeper:
    sampler: {_target_: optuna.samplers.%s, seed: 1}
    direction: minimize
    study_name: bench
    storage: sqlite:///study.db
    n_trials: %d
    n_jobs: 1
    %s: {x: 'interval(-2, 2)'}
"""


def run(title: str, python: str, app: Path, folder: Path, *arguments: str) -> None:
    """Print one line of the table, or why there is none."""
    environment = {**os.environ, "PROJECT": str(PROJECT), "PYTHONPATH": str(PROJECT) if python == sys.executable else ""}
    command = [python, "-c", PROBE, str(app), "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"{title:32}  cannot be run: {reason}", flush=True)
        return
    count, mean, first, last, inside = (float(text) for text in lines[0])
    print(f"{title:32}  {count:6.0f}  {mean:7.1f}  {first:10.1f}  {last:9.1f}  {inside:12.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--peer", help="python of an environment with hydra-optuna-sweeper")
    arguments = parser.parse_args()
    print(f"{'ms a trial':32}  trials  sweeper  first 10 %  last 10 %  launcher+job")
    for sampler in ("RandomSampler", "TPESampler"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run(
                f"ours, {sampler}", sys.executable, PROJECT / "tests/sweep_app/app.py", folder,
                f"hydra.sweeper.n_trials={arguments.trials}", f"hydra.sweeper.sampler._target_=optuna.samplers.{sampler}",
            )  # fmt: skip
        if arguments.peer:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "app.py").write_text(APP)
                (folder / "config.yaml").write_text(PEER_CONFIG % (sampler, arguments.trials, "params"))
                run(f"hydra-optuna-sweeper, {sampler}", arguments.peer, folder / "app.py", folder)


if __name__ == "__main__":
    main()
