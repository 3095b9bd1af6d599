"""A search on the built-in base from the command line to its confirmed ending."""

import json
from pathlib import Path

import pytest

from setpoint.analysis.data.claim import ClaimKind, Status
from setpoint.analysis.data.reading import read_experiment
from setpoint.cli.main import main
from setpoint.reports.content import build_report

pytestmark = pytest.mark.slow


def test_a_search_ends_with_new_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["experiment", "run", "--systems", "di", "--training-type", "sft", "--set", "sft.steps=3"]
    command += ["--parameters", "lora_rank:2,8", "learning_rate:1e-4..5e-3:log", "--search", "tpe", "--trials", "4"]
    command += ["--batch", "2", "--evaluation-cases", "4", "--confirm", "top:1", "seeds:3", "--experiment-id", "s"]
    assert main([*command, "--workers", "2", "--quiet", "--workspace", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    search, confirmed = text.split("=== Experiment Report: s-confirmed ===")
    assert "EXPLORATORY: a search (tpe; 4 of 4 trials)" in " ".join(search.split())
    assert "optimism" in confirmed and "Confirmed on double_integrator" in confirmed
    report = build_report(read_experiment(tmp_path / "experiments" / "s"))
    claims = [claim for claim in report.claims if claim.kind is not ClaimKind.INERT_PARAMETERS]
    assert claims and all("exploratory" in claim.heading for claim in claims)
    assert not [claim for claim in report.claims if claim.status is Status.SUPPORTED and claim.p_adjusted is not None]
    for name in ("report.md", "report.html", "report.tex", "claims.json"):
        assert "xploratory" in (tmp_path / "experiments" / "s" / "reports" / name).read_text(), name
    assert main([*command, "--json", "--quiet", "--workspace", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["confirmation"]["experiment"] == "s-confirmed"
