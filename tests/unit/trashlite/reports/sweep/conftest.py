import pytest


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a picture's time goes into its pixels, of which no test here asks for many."""
    for module in ("pictures", "report"):
        monkeypatch.setattr(f"trashlite.reports.sweep.{module}.DPI", 50)
