"""The plugin when a search is refused, or ends without its trials."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydra_plugins.optuna_sweeper import _search, _settings, sweeper
from trashlite.errors import UserError


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_search_says_last_why_it_ended_and_a_refused_one_makes_no_report(
    has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def fails() -> None:
        raise UserError("other settings")

    search = SimpleNamespace(run=fails, has_begun=has_begun, folder=Path("sweep"))
    monkeypatch.setattr(_search, "Search", lambda *_: search)
    monkeypatch.setattr(_settings.Settings, "create", lambda *_: None)
    monkeypatch.setattr(sweeper, "exit_on_sigterm", lambda: None)
    monkeypatch.setattr(sweeper, "report_now", told.append)
    monkeypatch.setattr(sweeper, "no_report", lambda: told.append("none at the end"))
    plugin = sweeper.OptunaSweeper(study_name="s", n_trials=3)
    plugin.config = OmegaConf.create({"hydra": {"sweep": {"dir": "sweep"}}})
    plugin.launcher = SimpleNamespace()  # type: ignore[assignment]
    plugin.hydra_context = SimpleNamespace(config_loader=None)  # type: ignore[assignment]
    with pytest.raises(SystemExit, match="other settings"):
        plugin.sweep([])
    assert told == [Path("sweep"), "none at the end"] if has_begun else told == ["none at the end"]
