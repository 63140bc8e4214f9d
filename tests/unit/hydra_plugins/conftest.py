"""Searches without Hydra's start and without jobs: a launcher that calls a function."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.optuna_sweeper._search import Search
from hydra_plugins.optuna_sweeper._settings import Settings
from tests.harness import PROJECT
from trashlite.overrides import parse_override
from trashlite.reports.run_record import write_record
from trashlite.sweeps.storage import load_study

Job = Callable[[dict[str, Any]], Any]
LOADER: Any = SimpleNamespace(load_sweep_config=lambda config, overrides: config)  # composes whatever it is asked for
GRID = {"_target_": "optuna.samplers.GridSampler"}


def square(job: dict[str, Any]) -> float:
    return job["x"] ** 2


class CallingLauncher:
    """Calls `job` with the overrides of each job, as values by key; keeps them in `jobs`, batch by batch."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.batches: list[list[dict[str, Any]]] = []
        self.figures: dict[str, Any] = {}  # of every record

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return [job for batch in self.batches for job in batch]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        self.batches.append([])
        returns = []
        for overrides in job_overrides:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            values = {override.key_or_group: override.value() for override in parsed}
            self.batches[-1].append(values)
            result = JobReturn(status=JobStatus.COMPLETED)
            try:
                result._return_value = self.job(values)
            except Exception as error:
                result.status, result._return_value = JobStatus.FAILED, error
            state = "completed" if result.status == JobStatus.COMPLETED else "failed"
            write_record(
                self.folder / str(values["hydra.sweep.subdir"]),
                {"state": state, "model/macs": values["x"], **self.figures},
            )
            returns.append(result)
        return returns


class Sweeps:
    """Run searches over `x` in one folder; `study` is what they left. A journal is made faster than tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loader: Any = SimpleNamespace(**vars(LOADER))

    def prepare(
        self, job: Job, *arguments: str, objective: Sequence[str] = ("loss",), typed: Sequence[str] = (), **given: Any
    ) -> Search:
        defaults: Any = OmegaConf.load(PROJECT / "conf/hydra/sweeper/optuna.yaml")
        del defaults["defaults"]  # nodes of the plugin, which Hydra composes
        sampler = {"_target_": "optuna.samplers.RandomSampler", "seed": 1}
        directions = ["minimize"] * len(objective)
        storage = f"journal:{self.folder / 'journal.log'}"
        given = {
            "storage": storage,
            "study_name": "test",
            "directions": directions,
            "params": {"x": "interval(-2,2)"},
            **given,
        }
        sweeper = OmegaConf.merge({**defaults, "seed": 1, "sampler": sampler}, given)
        hydra = {"sweep": {"dir": str(self.folder)}, "sweeper": sweeper, "overrides": {"hydra": list(typed)}}
        config = OmegaConf.create({"objective": list(objective), "hydra": hydra})
        for key, value in map(parse_override, arguments):
            OmegaConf.update(config, key, value)
        settings = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        for name in ("_target_", "_recursive_", "_convert_", "seed"):
            settings.pop(name)
        self.launcher = CallingLauncher(job, self.folder)
        return Search(Settings.create(settings, config), config, self.loader, self.launcher, list(arguments))

    def run(self, job: Job, *arguments: str, **given: Any) -> CallingLauncher:
        self.prepare(job, *arguments, **given).run()
        return self.launcher

    @property
    def study(self) -> optuna.Study:
        study = load_study(self.folder)
        assert study is not None
        return study

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.study.trials]


@pytest.fixture(autouse=True)
def impatient_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal waits for the disk at every line; these studies need not outlive a power cut."""
    monkeypatch.setattr("os.fsync", lambda file: None)


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path / "sweep")
