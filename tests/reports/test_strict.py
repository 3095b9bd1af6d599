"""Reports with all families of tests corrected together: the same verdict in every format and in Python."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import setpoint as sp
from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.reading import read_experiment
from setpoint.cli.main import main
from setpoint.reports import write_reports
from setpoint.reports.content import report_claims
from setpoint.truth.consistency import contradictions
from support.synthetic_experiment import Synthetic


def small_effect(levels: Mapping[str, Any]) -> float:
    """A difference between ranks that is significant in its family, and not in the whole report."""
    return math.log(0.05) + 0.3 * (levels["lora_rank"] == 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    levels = {"lora_rank": (4, 8), "learning_rate": (1e-4, 2e-4)}
    spec = {"systems": ["double_integrator"], "parameters": {k: list(v) for k, v in levels.items()}, "replicates": 4}
    root = tmp_path_factory.mktemp("strict")
    return Synthetic(
        root, factors=levels, replicates=4, log_error=small_effect, spec={"type": "hyperparameter_sweep", **spec}
    ).write()


def test_a_report_states_how_often_it_is_wrong(folder: Path) -> None:
    report = write_reports(folder, figures=False)
    for name in ("report.txt", "report.html"):
        assert "families of tests, each with a false finding in at most 5 %" in report.with_name(name).read_text()
    assert json.loads(report.with_name("claims.json").read_text())["strict"] is False


def test_a_strict_report_says_the_same_in_every_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = read_experiment(folder)
    plain, strict = ({c.id: c for c in report_claims(data, strict=each)} for each in (False, True))
    weakened = [name for name in plain if plain[name] != strict[name]]
    assert "main_effect:lora_rank" in weakened and "sft_against_base:double_integrator" not in weakened
    for name in weakened:
        assert (plain[name].status, strict[name].status) == (Status.SUPPORTED, Status.SUGGESTIVE)
        assert "after correction for the" in strict[name].reason
    assert contradictions(list(strict.values()), 0.05) == []
    assert main(["report", data.id, "--strict", "--no-figures", "--workspace", str(folder.parents[1])]) == 0
    text = capsys.readouterr().out
    written = json.loads((folder / "reports" / "claims.json").read_text())
    assert written["strict"] is True
    assert {c["id"]: c["status"] for c in written["claims"]} == {name: c.status.value for name, c in strict.items()}
    page = (folder / "reports" / "report.html").read_text()
    assert "corrected together" in text and "corrected together" in page and "each with a false finding" not in page
    level = strict["optimal_level:lora_rank"]
    assert level.status is Status.SUGGESTIVE and level.statement in text


def test_python_has_the_same_claims(folder: Path) -> None:
    experiment = sp.load_experiment(folder.parents[1], folder.name)
    for strict in (False, True):
        report = experiment.report(figures=False, strict=strict)
        written = json.loads(report.with_name("claims.json").read_text())["claims"]
        assert [c["statement"] for c in written] == [c.statement for c in experiment.claims(strict=strict)]
