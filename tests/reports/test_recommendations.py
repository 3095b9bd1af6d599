"""Recommendations follow from claims and failures."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from setpoint.cli.main import main
from setpoint.experiments.running.lease import lease
from setpoint.reports import write_reports
from support.reports import effect
from support.synthetic_experiment import Synthetic


@pytest.mark.usefixtures("without_figure_files")
def test_recommendations_give_the_command_that_confirms(tmp_path: Path) -> None:
    text = write_reports(Synthetic(tmp_path, log_error=effect, replicates=4).write()).read_text()
    command = re.search(r"\(scores free of selection bias\): (setpoint experiment confirm .*)$", text, re.MULTILINE)
    assert command is not None
    assert re.fullmatch(r"setpoint experiment confirm sweep --top [1-6] --seeds 5", command[1])


@pytest.mark.usefixtures("without_figure_files")
def test_more_seeds_are_advised_only_where_they_would_settle_something(tmp_path: Path) -> None:
    def rank_8_is_better(levels: Mapping[str, Any]) -> float:
        return math.log(0.05) - 0.5 * (levels["lora_rank"] == 8)

    folder = Synthetic(tmp_path, replicates=2, log_error=rank_8_is_better).write()
    text, resolution = advice_and_resolution(folder)
    rank, rate = resolution["lora_rank"], resolution["learning_rate"]
    enough = min(int(seeds) for seeds, smallest in rank["by_seeds"].items() if smallest <= rank["observed"])
    assert rank["by_seeds"]["2"] > rank["observed"]
    # What was seen of the learning rate no number of seeds would show; but the interval allows more than was seen.
    assert min(rate["by_seeds"].values()) > rate["observed"]
    possible = min(int(n) for n, least in rate["by_seeds"].items() if n != "2" and least <= rate["allowed"])
    assert (
        f"Run the same design with --replicates {max(enough, possible)}: {max(enough, possible)} seeds detect" in text
    )
    observed = f"observed: {rate['observed_text']}, upper confidence limit {rate['allowed_text']}"
    assert f"between levels of learning rate ({observed})" in text
    assert "Do not add seeds" not in text


@pytest.mark.usefixtures("without_figure_files")
def test_more_seeds_are_called_useless_only_where_the_interval_excludes_what_they_would_show(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8)}
    few = Synthetic(tmp_path / "few", factors=factors, replicates=3, cases=2)
    text, resolution = advice_and_resolution(few.write())
    assert min(resolution["lora_rank"]["by_seeds"].values()) > resolution["lora_rank"]["observed"]
    assert "Do not add seeds" not in text and "Run the same design with --replicates" in text
    many = Synthetic(tmp_path / "many", factors=factors, replicates=20, cases=2)
    text, resolution = advice_and_resolution(many.write())
    assert f"upper confidence limit {resolution['lora_rank']['allowed_text']}) with 80 % power" in text
    assert "Do not add seeds to find the best LoRA rank: even " in text and "Run the same design" not in text


def advice_and_resolution(folder: Path) -> tuple[str, dict[str, Any]]:
    """The report's text, and by parameter which differences its design shows."""
    text = write_reports(folder).read_text()
    claims = json.loads((folder / "reports" / "claims.json").read_text())["claims"]
    (details,) = [claim["details"] for claim in claims if claim["id"] == "resolution"]
    return text, details["parameters"]


@pytest.mark.usefixtures("without_figure_files")
def test_before_the_end_nothing_statistical_is_recommended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, unstarted=("lora_rank=8",)).write()
    command = ["report", "sweep", "--workspace", str(tmp_path), "--no-figures"]

    def recommended() -> list[str]:
        assert main(command) == 0
        return re.findall(r"^\d\. (?!System)(.*)$", capsys.readouterr().out, re.MULTILINE)

    (resume,) = recommended()
    assert resume.startswith("Resume the experiment (3 of 6 runs not finished; ")
    assert resume.endswith(": setpoint experiment resume sweep")
    with lease(folder):
        (wait,) = recommended()
        assert wait.startswith("Wait for the running experiment (3 of 6 runs not finished).")
        assert "(the experiment is running)" in (folder / "reports" / "report.txt").read_text().splitlines()[1]


@pytest.mark.usefixtures("without_figure_files")
@pytest.mark.parametrize(("failure_class", "helps"), [("diverged", False), ("timeout", True)])
def test_a_retry_is_advised_only_where_it_can_help(tmp_path: Path, failure_class: str, helps: bool) -> None:
    for name, failed in (("some", "lora_rank=8"), ("all", "")):
        synthetic = Synthetic(tmp_path / name, factors={"lora_rank": (4, 8)}, failed={failed: failure_class})
        report = write_reports(synthetic.write())
        advice = report.read_text().partition("=== Recommendations ===")[2].partition("=== Files")[0]
        assert ("Start a new experiment" in advice) is not helps
        assert ("would fail again" in report.with_name("failures.md").read_text()) is not helps
