"""Overhead of the sweeper per trial: python benchmarks/sweeper.py [--trials 1000] [--peer PYTHON].

SQLite storage, objective x². Hydra's launcher is replaced by one that computes the objective from the overrides: what
is left is the sweeper. PYTHON is an interpreter with hydra-optuna-sweeper, which pins optuna<3 and with it
SQLAlchemy<2, alembic<1.13 and numpy<2, so that it needs an environment of its own:
pip install hydra-core==1.3.8 hydra-optuna-sweeper==1.2.0 "sqlalchemy<2" "alembic<1.13" "numpy<2"
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# Runs in the interpreter under test.
PROBE = """
import runpy, sys, time
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
ends, cpu = [], []
def launch(job_overrides, initial_job_idx):
    ends.append(time.perf_counter())
    cpu.append(time.process_time())
    jobs = [dict(text.split("=", 1) for text in overrides) for overrides in job_overrides]
    returns = [JobReturn(overrides=[], status=JobStatus.COMPLETED) for job in jobs]
    for job, result in zip(jobs, returns):
        result.return_value = float(job["x"]) ** 2
    return returns
instantiate = Plugins.instantiate_launcher
def instantiate_launcher(self, **kwargs):
    launcher = instantiate(self, **kwargs)
    launcher.launch = launch
    return launcher
Plugins.instantiate_launcher = instantiate_launcher
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
if ends:
    part = max(1, len(ends) // 10)
    mean = lambda times: 1000 * (times[-1] - times[0]) / max(1, len(times) - 1)
    print("RESULT", len(ends), mean(ends), mean(cpu), mean(cpu[:part]), mean(cpu[-part:]))
"""
APP = """
import hydra
@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    return cfg.x ** 2
if __name__ == "__main__":
    main()
"""
PEER_CONFIG = """
defaults: [override hydra/sweeper: optuna, override hydra/sweeper/sampler: %s, _self_]
x: 0.0
hydra:
  sweep: {dir: sweep}
  sweeper:
    sampler: {seed: 1}
    direction: minimize
    study_name: bench
    storage: sqlite:///study.db
    n_trials: %d
    n_jobs: 1
    params: {x: 'interval(-2, 2)'}
"""


def run(title: str, python: str, app: Path, folder: Path, *arguments: str) -> None:
    """Print one line of the table, or why there is none."""
    environment = {
        **os.environ,
        "PROJECT": str(PROJECT),
        "PYTHONPATH": str(PROJECT) if python == sys.executable else "",
    }
    command = [python, "-c", PROBE, str(app), "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not lines:
        lines = [line for line in done.stderr.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
        reason = (lines or ["no output"])[-1]
        print(f"{title:36}  cannot be run: {reason}", flush=True)
        return
    count, *times = (float(text) for text in lines[0])
    print(f"{title:36}  {count:6.0f}  " + "  ".join(f"{time:10.1f}" for time in times), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--peer", help="python of an environment with hydra-optuna-sweeper")
    arguments = parser.parse_args()
    print(f"{'ms a trial':36}  trials        wall         CPU  first 10 %   last 10 %")
    for sampler, peer_name in (("RandomSampler", "random"), ("TPESampler", "tpe")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = (f"n_trials={arguments.trials}", f"sampler._target_=optuna.samplers.{sampler}")
            settings = tuple(f"hydra.sweeper.{setting}" for setting in settings)
            run(f"ours, {sampler}", sys.executable, PROJECT / "tests/sweep_app/app.py", folder, *settings)
        if arguments.peer:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "sweep").mkdir()
                (folder / "app.py").write_text(APP)
                (folder / "config.yaml").write_text(PEER_CONFIG % (peer_name, arguments.trials))
                run(f"hydra-optuna-sweeper, {sampler}", arguments.peer, folder / "app.py", folder)


if __name__ == "__main__":
    main()
