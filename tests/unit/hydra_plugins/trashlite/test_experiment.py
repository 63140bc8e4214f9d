import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hydra_plugins.trashlite._experiment import best_experiment, compose_with, difference
from tests.harness import PROJECT
from tests.sweep_folder import write_job
from trashlite.errors import UserError
from trashlite.reports.sweep.records import Job, read_jobs


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


def ran(folder: Path, *overrides: str, hydra: str = ".hydra") -> Job:
    """A completed job, with the configuration that Hydra would have saved."""
    write_job(folder / "0", *overrides, f1=0.5, hydra=hydra)
    config = composed(*overrides)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    OmegaConf.save({"hydra": {"runtime": {"choices": choices}}}, folder / "0" / hydra / "hydra.yaml")
    plain: Any = OmegaConf.to_container(config)
    del plain["hydra"]
    OmegaConf.save(OmegaConf.create(plain), folder / "0" / hydra / "config.yaml")
    [job] = read_jobs(folder)
    return job


def again(folder: Path, yaml: str, command: str) -> Any:
    """Configuration of the command, with the file where it says."""
    (folder / "experiment").mkdir(exist_ok=True)
    (folder / "experiment" / "best_experiment.yaml").write_text(yaml)
    python, program, option, config_dir, *overrides = shlex.split(command)
    assert (python, program, option) == ("python", "run.py", "--config-dir")
    return composed(f"hydra.searchpath=['file://{config_dir}']", *overrides)


def without_empty(config: Any) -> Any:
    """Plain settings; callbacks and loggers that are null are none."""
    plain: Any = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    plain.pop("hydra", None)
    for group in ("callbacks", "logger"):
        plain[group] = {name: value for name, value in plain[group].items() if value is not None}
    return plain


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "experiment=trash9",
            "datamodule.root='/data/my photos'",
            "seed=7",
            "augmentation=randaugment",
            "image_size=[32,48]",
        ],
        [
            "backbone=block_net",
            "backbone.kwargs.blocks=[[ds_r1_k3_s2_c16],[ir_r1_k3_s2_e3_c24_se0.25]]",
            "notes='1e-3'",
            "~callbacks.ema",
            "~logger.wandb",
            "~scheduler.warmup_lr",
            "loss=f1_ce",
            "callbacks.macs=null",
        ],
        [
            "~augmentation",
            "debug=fast",
            "tags=[a,'b c']",
            "max_macs=6e6",
            "notes='50 %: \"a=b\" # x'",
            "seed=1",
            "++backbone.kwargs.drop_rate=0.2",
            "+backbone.kwargs.extra={a:1,b:[true,null]}",
            "seed=2",
            "datamodule.root=${oc.env:HOME}",
        ],
    ],
)
def test_the_experiment_composes_what_the_job_ran_with(overrides: list[str], tmp_path: Path) -> None:
    job = ran(tmp_path, *overrides)
    config = without_empty(OmegaConf.load(job.folder / ".hydra" / "config.yaml"))
    assert without_empty(again(tmp_path, *best_experiment(job, tmp_path, "F1 0.5"))) == config


def test_it_holds_only_differences(tmp_path: Path) -> None:
    yaml, command = best_experiment(ran(tmp_path, "backbone=trashnet_1m", "optimizer.lr=0.5"), tmp_path, "F1 0.5")
    assert yaml.startswith("# @package _global_\n")
    assert OmegaConf.to_container(OmegaConf.create(yaml)) == {
        "defaults": [{"override /backbone": "trashnet_1m"}, "_self_"],
        "optimizer": {"lr": 0.5},
    }
    assert command in yaml


def test_a_resume_that_changed_settings_counts(tmp_path: Path) -> None:
    ran(tmp_path, "trainer.max_epochs=3", "seed=1")
    job = ran(tmp_path, "resume=0/checkpoints/last.ckpt", "trainer.max_epochs=5", hydra=".hydra_resumed")
    config = again(tmp_path, *best_experiment(job, tmp_path, ""))
    assert (config.trainer.max_epochs, config.seed, config.resume) == (5, 1, None)


def test_what_a_checkpoint_would_overrule_stays_on_the_command_line(tmp_path: Path) -> None:
    job = ran(tmp_path, "checkpoint=x.ckpt", "datamodule=trash", "datamodule.root=/my data", "optimizer.lr=1")
    _, command = best_experiment(job, tmp_path, "")
    assert shlex.split(command)[-2:] == ["datamodule=trash", "datamodule.root=/my data"]


def test_a_job_without_configuration(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.5)
    with pytest.raises(UserError, match=r"config\.yaml of job 0"):
        best_experiment(read_jobs(tmp_path)[0], tmp_path, "")


def test_difference_of_nested_settings() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": None, "c": 1, "callbacks": {"ema": {"decay": 1}}, "d": {"z": 1}}
    config = {"a": {"x": 1, "y": [2]}, "b": {"n": 1}, "c": True, "callbacks": {}, "d": None, "e": 5}
    assert difference(base, config) == (
        {"a": {"y": [2]}, "b": {"n": 1}, "c": True, "callbacks": {"ema": None}, "d": None, "e": 5},
        [],
    )
    assert difference({"a": {"x": 1}, "b": 2}, {"a": {}}) == ({}, ["a.x", "b"])


def test_composition_works_inside_a_run_of_hydra(tmp_path: Path) -> None:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        assert compose_with({"backbone": "trashnet_1m"}).backbone.name == "trashnet_1m"


def test_a_class_that_has_moved_since_is_not_written_down(tmp_path: Path) -> None:
    job = ran(tmp_path, "seed=3")
    path = job.folder / ".hydra" / "config.yaml"
    config = OmegaConf.load(path)
    config.callbacks.macs._target_ = "callbacks.macs_logger.MacsLogger"  # where it was before
    config.callbacks.media._target_ = "callbacks.media.WandbMedia"  # as it was called before
    config.callbacks.ema._target_ = "pytorch_lightning.callbacks.Timer"
    OmegaConf.save(config, path)
    text, _ = best_experiment(job, tmp_path, "")
    assert "macs_logger" not in text
    assert "WandbMedia" not in text
    assert "pytorch_lightning.callbacks.Timer" in text
    assert "seed: 3" in text
