"""Reports without figure files."""

import sys

import pytest


@pytest.fixture
def without_figure_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vl-convert were not installed, which also saves the time that figure files take."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
