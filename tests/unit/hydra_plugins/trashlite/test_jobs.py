"""Facts that a job of a sweep knows of itself."""

import pytest

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
