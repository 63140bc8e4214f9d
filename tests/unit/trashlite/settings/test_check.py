"""Every wrong setting is one line that names its key, its value and the choices."""

from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.trashlite.jobs import check_job
from tests.harness import PROJECT, compose_config
from trashlite.deployment.formats import FORMATS
from trashlite.errors import UserError
from trashlite.settings import config


@cache
def default_config() -> DictConfig:
    return compose_config("output_dir=/tmp")


def mistakes(*overrides: str) -> list[str]:
    """The lines that a command with these overrides ends in; composing takes long, so most are set afterwards."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    groups = [override for override in parsed if (PROJECT / "conf" / override.key_or_group).is_dir()]
    if groups:
        config = compose_config("output_dir=/tmp", *overrides)
    else:
        config = default_config().copy()
        for override in parsed:
            OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    try:
        check_job(config)
    except UserError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("key", "value", "choices"),
    [
        ("fit", "flase", "true or false"),
        ("test", "no", "true or false"),
        ("predict", "no", "true or false"),
        ("show_data", "1", "true or false"),
        ("export", "[tflite]", "onnx, int8, c, c_int8 or html"),
        ("callbacks.calibration.min_precision", "90", "0"),
        ("image_size", "64", "[height, width]"),
        ("image_size", "null", "[height, width]"),
        ("image_size", "[a,b]", "[height, width]"),
        ("image_size", "[48.5,64]", "[height, width]"),
        ("image_size", "[100000,100000]", "from 8 to 1024"),
        ("image_size", "[64,64,3]", "[height, width]"),
        ("resize_mode", "squash", "stretch, letterbox or landscape"),
        ("seed", "-1", "from 0 to 4294967295 or null"),
        ("seed", "abc", "whole number"),
        ("seed", "1.5", "whole number"),
        ("seed", "99999999999999", "4294967295"),
        ("threads", "0", "auto, a whole number of at least 1 or null"),
        ("threads", "abc", "auto"),
        ("max_macs", "abc", "a number above 0 or null"),
        ("max_macs", "nan", "a number above 0"),
        ("max_macs", "0", "a number above 0"),
        ("objective", "val/f1", "a list"),
        ("objective", "[]", "such as [val/f1, model/macs]"),
        ("objective", "[val/f2]", "f1_<class>"),
        ("score.floor", "abc", "at least 0 and at most 1"),
        ("score.baseline_f1", "0", "above 0 and at most 1"),
        ("score.baseline_macs", "-1", "above 0"),
        ("optimizer.lr", "-1", "a number of at least 0"),
        ("optimizer.lr", "nan", "a number of at least 0"),
        ("optimizer.lr", "abc", "a number of at least 0"),
        ("optimizer.weight_decay", "-1", "a number of at least 0"),
        ("scheduler.sched", "cosin", "cosine, tanh"),
        ("scheduler.warmup_epochs", "-1", "a whole number of at least 0"),
        ("datamodule.batch_size", "0", "at least 2"),
        ("datamodule.batch_size", "-4", "at least 2"),
        ("datamodule.batch_size", "1.5", "whole number"),
        ("datamodule.batch_size", "1", "at least 2"),
        ("datamodule.eval_batch_size", "0", "at least 1"),
        ("datamodule.num_workers", "-1", "at least 0"),
        ("datamodule.num_workers", "100000", "at most 128"),
        ("datamodule.mean", "[0,0]", "three numbers"),
        ("datamodule.std", "[0,0,0]", "three numbers above 0"),
        ("datamodule.fold", "5", "k/n"),
        ("datamodule.train_fraction", "0", "above 0 and at most 1"),
        ("augmentation.geometry.hflip", "2", "at least 0 and at most 1"),
        ("loss.class_weights", "blanced", "balanced"),
        ("backbone.kwargs.drop_rate", "abc", "at least 0 and below 1"),
        ("backbone.kwargs.drop_rate", "7", "at least 0 and below 1"),
        ("backbone.pretrained", "yes", "true, false or lite0_imagenet"),
        ("callbacks.best_checkpoint.monitor", "val/foo", "val/f1"),
        ("callbacks.early_stopping.monitor", "val/foo", "val/f1"),
        ("callbacks.low_rank.budget", "abc", "a number above 0"),
        ("callbacks.low_rank.policy", "svd", "sensitivity, plan or null"),
        ("callbacks.slimming.budget", "0", "a number above 0"),
        ("callbacks.ema.decay", "1", "at least 0 and below 1"),
        ("logger.wandb.mode", "on", "auto, online, offline or disabled"),
        ("trainer.max_epochs", "-1", "at least 0"),
        ("trainer.max_epochs", "abc", "at least 0"),
        ("trainer.max_epochs", "null", "at least 0"),
        ("trainer.gradient_clip_val", "-1", "at least 0 or null"),
        ("trainer.precision", "8", "bf16-mixed"),
        ("trainer.accelerator", "foo", "auto, cpu, gpu, cuda or mps"),
        ("trainer.devices", "0", "a number of devices"),
        ("trainer.devices", "[]", "a number of devices"),
        ("trainer.devices", "abc", "a number of devices"),
        ("+trainer.num_nodes", "0", "at least 1"),
        ("+trainer.val_check_interval", "0", "a number of batches"),
        ("+trainer.val_check_interval", "abc", "a number of batches"),
        ("+trainer.gradient_clip_algorithm", "foo", "norm, value or null"),
        ("+trainer.profiler", "foo", "simple"),
        ("+trainer.deterministic", "abc", "true, false, warn or null"),
        ("+trainer.benchmark", "abc", "true, false or null"),
        ("+trainer.max_time", "abc", "days:hours"),
        ("+trainer.overfit_batches", "-1", "a number of batches"),
        ("+trainer.limit_train_batches", "0", "a number of batches"),
        ("+scheduler.decay_milestones", "abc", "a list"),
        ("+scheduler.noise_pct", "abc", "at least 0"),
        ("+scheduler.k_decay", "0", "above 0"),
        ("+callbacks.best_checkpoint.save_top_k", "abc", "at least -1"),
        ("+callbacks.early_stopping.min_delta", "abc", "at least 0"),
        ("+trainer.limit_val_batches", "0", "a number of batches"),
        ("+trainer.limit_test_batches", "0", "test=false"),
    ],
)
def test_a_wrong_value_is_one_line(key: str, value: str, choices: str) -> None:
    (line,) = mistakes(f"{key}={value}")
    plain = line.replace("'", "").replace(", ", ",")
    assert plain.startswith(f"{key.lstrip('+')}={value}: choose "), line
    assert choices in line


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("+datamodule.bacth_size=2", "datamodule.bacth_size=2: there is no such setting. Close to it: batch_size"),
        ("+trainer.max_epoch=3", "trainer.max_epoch=3: there is no such setting. Close to it: max_epochs"),
        ("+scheduler.warmup_epoch=3", "scheduler.warmup_epoch=3: there is no such setting. Close to it: warmup_epochs"),
        ("+callbacks.ema.foo=1", "callbacks.ema.foo=1: there is no such setting. There are: decay."),
        ("+trainer.plugins=foo", "trainer.plugins=foo: there is no such setting."),  # made by other groups
        ("+trainer.callbacks=[]", "trainer.callbacks=[]: there is no such setting."),
        ("+scheduler.num_epochs=3", "scheduler.num_epochs=3: there is no such setting."),  # trainer.max_epochs
        ("+image_sizes=3", "image_sizes=3: there is no such setting. Close to it: image_size"),
        ("+loss.tau=1", "loss: cross_entropy has no tau; it has class_weights, label_smoothing, name."),
        ("trainer.check_val_every_n_epoch=99", "trainer: check_val_every_n_epoch=99 never comes: training ends after"),
        ("datamodule=trash", "datamodule.root=PATH is missing"),
        ("notes=${oc.env:NO_SUCH}", "notes=${oc.env:NO_SUCH}: KeyError raised while resolving interpolation"),
        ("+callbacks.mine.decay=1", "callbacks: mine={'decay': 1} needs a _target_"),
        ("augmentation.erasing.min_area=0.9", "augmentation.erasing: min_area must not be above max_area"),
    ],
)
def test_other_mistakes_are_one_line(override: str, line: str) -> None:
    (told,) = mistakes(override)
    assert told.startswith(line)


def test_several_mistakes_are_told_together_and_once_each() -> None:
    told = mistakes("image_size=64", "optimizer.lr=-1", "seed=abc")  # datamodule and callbacks refer to two of them
    assert told[0] == "3 settings are wrong:"
    assert [line.split("=")[0] for line in told[1:]] == ["image_size", "seed", "optimizer.lr"]


def test_a_term_of_a_loss_is_named_by_its_place() -> None:
    assert mistakes("loss=f1_ce", "loss.terms.1.weight=-1") == [
        "loss.terms.1.weight=-1: choose a number of at least 0."
    ]


def test_folders_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert mistakes("datamodule=trash", f"datamodule.root={tmp_path}") == []
    (missing,) = mistakes("datamodule=trash", f"datamodule.root={tmp_path}/none")
    assert missing.startswith(f"datamodule.root={tmp_path}/none: there is no such folder.")
    (unwritable,) = mistakes(f"datamodule.cache_dir={tmp_path}/file/cache")
    assert (
        unwritable
        == f"datamodule.cache_dir={tmp_path}/file/cache: {tmp_path}/file cannot be written; choose another folder."
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=null"],
        ["threads=auto"],
        ["max_macs=2e6"],
        ["trainer.gradient_clip_val=0.5"],
        ["+trainer.fast_dev_run=true"],
        ["+trainer.deterministic=true"],
        ["+trainer.limit_train_batches=0.1"],
        ["callbacks.macs=null", "callbacks.ema=null"],
        ["logger.csv=null", "logger.wandb=null"],
        ["loss.class_weights=[1,1,1,1,1,1,1,1,2]"],
        ["callbacks.low_rank.budget={conv_stem: 0.8}"],
        ["+callbacks.mine={_target_: my.Callback, anything: 1}"],  # of one's own
        ["datamodule._target_=my.DataModule", "+datamodule.anything=1"],
        ["trainer._target_=my.Trainer", "+trainer.anything=1"],
        ["augmentation.erasing._target_=my.Erasing", "augmentation.erasing.min_area=0.9"],
        ["+trainer.max_time={hours: 1}", "trainer.devices=[0,2]"],
        ["trainer.devices='0,1'", "+trainer.val_check_interval=0.5"],
        ["lightning_module=distiller", "lightning_module.alpha=1"],
        ["output_dir=${hydra:runtime.output_dir}"],  # known only when the job runs
    ],
)
def test_what_is_right_is_let_through(overrides: list[str]) -> None:
    assert mistakes(*overrides) == []


def test_the_score_needs_the_macs() -> None:
    assert mistakes("callbacks.macs=null", "objective=[val/score]") == [
        "objective=val/score names the score, which needs the MACs: leave callbacks.macs on."
    ]


@pytest.mark.parametrize("asking", ["export=[onnx]", "objective=[val/f1,val/latency_ms]"])
def test_packages_of_exports_are_asked_for_at_once(asking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_spec", lambda name: None if name == "onnxruntime" else object())
    [line] = mistakes(asking)
    assert "needs the package onnxruntime: make setup-deploy" in line
    assert mistakes("export=[c,html]") == []


def test_formats_of_a_run_are_those_there_are() -> None:
    assert get_args(get_args(config.Config.model_fields["export"].annotation)[0]) == tuple(FORMATS)
