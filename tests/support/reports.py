"""The form that every report has, and values read back from it."""

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECTIONS = (
    "Experiment Report: sweep",
    "Results Summary",
    "Top Performing Configurations",
    "Statistical Analysis",
    "Resource Usage",
    "Recommendations",
    "Files Generated",
)
LINES = (
    "Date: ",
    "Experiment Type: hyperparameter_sweep",
    "Systems Tested: double_integrator",
    "Parameter Space: lora_rank: 4, 8, 16; learning_rate: 1e-4, 2e-4",
    "Total Experiments: ",
    "Successful Runs: ",
    "Failed Runs: ",
    "- Most impactful parameter: ",
    "- Optimal LoRA rank: ",
    "- Best learning rate: ",
    "- Total GPU hours: ",
    "- Average training time: ",
    "- Peak memory usage: ",
    "- Models: ",
    "- Plots: ",
    "- Raw results: ",
    "- Detailed logs: ",
)


def effect(levels: Mapping[str, Any]) -> float:
    return math.log(0.05) + (0.0 if levels["learning_rate"] == 1e-4 else -1.0)


def rows_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.with_name("results.csv").read_text())))


def check_form(text: str) -> None:
    """Every heading and line of the contract is there, in order, and no number is missing in prose."""
    headings = re.findall(r"^=== (.*) ===$", text, re.MULTILINE)
    assert tuple(headings) == SECTIONS
    starts = [re.search(f"^{re.escape(line)}", text, re.MULTILINE) for line in LINES]
    positions = [match.start() for match in starts if match is not None]
    assert len(positions) == len(LINES)
    assert positions == sorted(positions)
    assert re.search(r"\b(nan|inf|None)\b", text) is None


def value_after(label: str, text: str) -> str:
    found = re.search(f"^{re.escape(label)}(.*)$", text, re.MULTILINE)
    assert found is not None
    return found[1]
