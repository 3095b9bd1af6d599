"""The HTML page: its size, its security policy, and names that try to break out."""

import json
import re
from pathlib import Path

import pytest

from setpoint.reports import write_reports
from support.reports import effect, rows_of
from support.synthetic_experiment import Synthetic


@pytest.mark.usefixtures("without_figure_files")
def test_the_page_is_small_and_needs_nothing(tmp_path: Path) -> None:
    factors = {"lora_rank": (4, 8, 16, 32, 64), "learning_rate": (1e-4, 2e-4, 4e-4, 8e-4, 1e-3)}
    synthetic = Synthetic(tmp_path, factors=factors, replicates=20, cases=2, log_error=effect)
    page = write_reports(synthetic.write()).with_name("report.html")
    text = page.read_text()
    assert page.stat().st_size < 1_500_000
    assert "default-src 'none'" in text
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # the library mentions links that it never opens
    assert not re.search(r"src=|href=[\"'](?!#|data:|\.\./\.\./\.\./)", body)
    assert "unsafe" not in text.partition("</head>")[0]
    assert re.search(r">\s*(nan|inf|None)\s*<", text) is None


def test_names_cannot_break_a_report(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://x")\n<script>|`"\x1b[31m\u202e\x07'
    folder = Synthetic(tmp_path, factors={"schedule": (evil, "linear")}, failed={"": "crash"}).write()
    for number, record in enumerate(sorted(tmp_path.rglob("failure.json"))):
        change = {"message": evil} if number % 2 else {"failure_class": "=1+1"}
        record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    report = write_reports(folder)
    text = report.read_text()
    assert "\n<script>" not in text
    for row in rows_of(report):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
        assert "\n" not in row["schedule"]
    for path in (path for path in report.parent.iterdir() if path.suffix in {".txt", ".md", ".html", ".csv"}):
        assert not {"\x1b", "\u202e", "\x07"} & set(path.read_text()), path.name
    markdown = report.with_name("report.md").read_text() + report.with_name("failures.md").read_text()
    assert "<script>" not in re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
