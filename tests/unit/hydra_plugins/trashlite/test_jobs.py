"""Facts that a job knows of itself and of its folder."""

import re
import resource
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.trashlite import jobs


@pytest.mark.parametrize(
    ("trial", "shown"), [({"number": 3}, ""), ({"promoted_from": 3}, "Result\n"), (None, "Result\n")]
)
def test_only_a_trial_prints_nothing(
    trial: dict[str, int] | None, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "sweep_trial", lambda: trial)
    with jobs.quiet_trial():
        print("Result")
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("room", [0, 2000])
def test_a_disk_without_room_for_the_first_files_is_told_in_a_line(
    room: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(SystemExit):
            jobs.CheckOutputFolder.check(str(tmp_path / "run"), "hydra.run.dir")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Cannot write to {tmp_path / 'run'}: ")
    assert line.endswith("Choose another folder with hydra.run.dir=PATH.")
    jobs.CheckOutputFolder.check(str(tmp_path / "run"), "hydra.run.dir")
    assert list((tmp_path / "run").iterdir()) == []


def test_an_address_whose_variable_is_not_set_is_told_before_hydra_stumbles(capsys: pytest.CaptureFixture) -> None:
    config = OmegaConf.create({"hydra": {"sweeper": {"storage": "${oc.env:NO_SUCH_VARIABLE}"}}})
    with pytest.raises(SystemExit):
        jobs.CheckOutputFolder().on_multirun_start(config)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("hydra.sweeper.storage: ")
    assert "'NO_SUCH_VARIABLE' not found" in line


@pytest.mark.parametrize(
    "argument", ["notes=it's", "datamodule.root=/my photos (1)", "+tags=[a", "study={name", "hydra.dir=a='b"]
)
def test_a_setting_without_its_quotes_is_told_with_them(argument: str) -> None:
    key, _, value = argument.partition("=")
    with pytest.raises(SystemExit) as stop:
        jobs.command_line(["-m", argument])
    assert str(stop.value).startswith(f"{argument} cannot be read as a setting.")
    [told] = re.findall(r'within the shell\'s: "(.*)"$', str(stop.value))
    override = OverridesParser.create().parse_override(told)
    assert (override.key_or_group, override.value()) == (key.lstrip("+"), value)


def test_settings_that_hydra_reads_pass() -> None:
    jobs.command_line(
        [
            *("-m", "--config-dir", "/a=b, c", "+sweep=nas", "a=1,2", "hydra/launcher=joblib", "~callbacks.ema"),
            *("datamodule.root='/my photos, all'", "image_size=[48,64],[24,36]", "callbacks@x=y", "++a.b={c: 1}"),
            "hydra.sweep.subdir='${fold_folder:${seed},${datamodule.fold}}'",
        ]
    )
