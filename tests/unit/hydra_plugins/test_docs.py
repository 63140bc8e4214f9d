"""The settings that docs/sweeps.md prints, each in a search as the shell would start it."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import OmegaConf

from hydra_plugins.optuna_sweeper._search import Search
from hydra_plugins.optuna_sweeper._settings import Settings
from tests.harness import PROJECT, compose_config
from tests.unit.hydra_plugins.conftest import LOADER, CallingLauncher
from trashlite.settings.command_line import prepare_command_line

DOCS = (PROJECT / "docs/sweeps.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| `([^|]+)` \|$", DOCS.partition("| what | setting |")[2].partition("\n\n")[0], re.M)
SWEEPS = ("nas", "hpo", "nas_lite0", "ranks")


@pytest.fixture(autouse=True)
def no_job_afterwards() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def prepare(folder: Path, *given: str) -> tuple[Search, CallingLauncher]:
    """The search of a command line whose jobs only count and return numbers."""
    fixed = (f"hydra.sweep.dir={folder}", "hydra.mode=MULTIRUN", f"hydra.sweeper.storage=journal:{folder / 'journal'}")
    config = compose_config(*fixed, *given, hydra=True)
    HydraConfig.instance().set_config(config)
    settings: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    for name in ("_target_", "_recursive_", "_convert_"):
        settings.pop(name)
    settings |= {"params": {}, "custom_search_space": None, "enqueue": settings["enqueue"]}
    jobs: list[Any] = []

    def job(values: dict[str, Any]) -> Any:
        jobs.append(values)
        figures = [0.5 + len(jobs) / 100, 1e6 + len(jobs)][: len(config.objective)]
        return figures[0] if len(figures) == 1 else tuple(figures)

    launcher = CallingLauncher(job, folder)
    settings = Settings.create(settings, config)
    return Search(settings, config, LOADER, launcher, ["x=interval(0,1)", "optimizer.lr=interval(1e-4,1e-2)"]), launcher


def test_the_table_was_found() -> None:
    assert len(ROWS) >= 12
    for name in ("NSGAIISampler", "HyperbandPruner", "constraints", "enqueue"):
        assert any(name in setting for _, setting in ROWS)


@pytest.mark.parametrize("setting", [setting for _, setting in ROWS])
def test_every_setting_of_the_table_works_as_printed(setting: str, tmp_path: Path) -> None:
    sweep = "hpo" if "pruner" in setting or "val/score" in setting else "nas"
    search, launcher = prepare(tmp_path, f"+sweep={sweep}", *shlex.split(setting))
    search.n_trials = 3
    search.run()
    assert search.trials.count().finished == 3
    assert launcher.jobs


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_class_that_is_typed_takes_only_its_own_arguments(sweep: str, tmp_path: Path) -> None:
    sampler = "hydra.sweeper.sampler={_target_:optuna.samplers.NSGAIISampler,population_size:10}"
    search, _ = prepare(tmp_path, f"+sweep={sweep}", sampler, "seed=5")
    assert search.settings.sampler == {
        "_target_": "optuna.samplers.NSGAIISampler",
        "population_size": 10,
        "seed": 5,
    }
    assert instantiate(search.settings.sampler, _convert_="all")._population_size == 10  # type: ignore[attr-defined]


def test_arguments_of_the_files_class_can_be_changed(tmp_path: Path) -> None:
    search, _ = prepare(tmp_path, "+sweep=nas", "hydra.sweeper.sampler.n_startup_trials=3")
    assert search.settings.sampler["n_startup_trials"] == 3
    assert search.settings.sampler["multivariate"] is True


@pytest.mark.parametrize("command", re.findall(r"^(?:STUDY_URL=\S+ )?python run\.py -m .*?[^\\]$", DOCS, re.M | re.S))
def test_every_command_composes(command: str) -> None:
    """With the first of several values, and without intervals and launchers, which may not be installed."""
    words = shlex.split(re.sub(r"\s*\\\n\s*", " ", command).partition("  #")[0])
    words = [word.replace("PATH", "/photos") for word in words[words.index("-m") + 1 :]]
    given = [re.sub(r"=([\w-]+),.*", r"=\1", word) for word in words if "launcher" not in word and "=tag(" not in word]
    prepare_command_line(given, PROJECT / "conf")
    composed = compose_config(*given, hydra=True)
    assert composed.hydra.sweeper._target_ == "hydra_plugins.optuna_sweeper.sweeper.OptunaSweeper"
