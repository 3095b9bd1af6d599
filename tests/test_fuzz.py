"""Damaged files and odd arguments are refused in words: a short part of `make fuzz`, and the whole of it."""

from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.demonstrations import Recipe, create
from setpoint.policies import base_report
from support.fuzz import Place, fuzz, make_place
from support.synthetic_experiment import Synthetic


@pytest.fixture(autouse=True)
def _examination_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_report, "_examined", base_report._examined)


def test_a_few_inputs_are_refused_in_words(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.work.mkdir()
    (tmp_path / "outside").mkdir()
    create(Workspace(place.work), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    Synthetic(place.work, experiment="base", factors={"lora_rank": (4, 8)}, replicates=1, cases=2).write()
    areas = ("specifications", "datasets", "arguments", "tables")
    tried, _, findings = fuzz(place, inputs=80, seconds=60, seed=5, areas=areas)
    assert not findings.found, findings.text()
    assert tried > 20


@pytest.mark.slow
def test_no_input_is_a_traceback_a_hang_or_an_escape(tmp_path: Path) -> None:
    tried, _, findings = fuzz(make_place(tmp_path), inputs=2000, seconds=1200, seed=7)
    assert not findings.found, findings.text()
    assert tried > 200
