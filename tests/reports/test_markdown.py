"""Markdown: escaping, and references in every format."""

import re
from pathlib import Path

import pytest

from setpoint.reports import write_reports
from setpoint.reports.markdown import code_block, escape
from support.synthetic_experiment import Synthetic


def test_markdown_is_escaped() -> None:
    assert escape("a|b\n<i>_x_") == "a\\|b &lt;i&gt;\\_x\\_"
    assert code_block("```\nx").startswith("````\n")


@pytest.mark.usefixtures("without_figure_files")
def test_every_format_shows_all_that_is_known_of_the_references(tmp_path: Path) -> None:
    report = write_reports(Synthetic(tmp_path, factors={"lora_rank": (4, 8)}, replicates=1).write())
    short = ("zero control", "1.2", "0 %", "12.7 %")
    full = (*short, "11.2")
    for name, cells in (("report.txt", short), ("report.md", full), ("report.html", full)):
        lines = re.split(r"\n|<tr>", report.with_name(name).read_text())
        assert any(re.search(".*".join(map(re.escape, cells)), line) for line in lines), name
