"""Files are read through their typed owners: nothing else looks a key up in their parsed content."""

import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "setpoint"

FORBIDDEN = (
    r"""\bplan\[["']""",
    r"""\.plan\[["']""",
    r"""\.plan\.get\(""",
    r"""\bplan\.get\(""",
    r"""\bfailure\[["']""",
    r"""\bfailure\.get\(""",
    r"""\[["']failure_class["']\]""",
    r"""\bevent\[["']""",
    r"""\bevent\.get\(""",
    r"""\bmanifest\[["']""",
    r"""\bmanifest\.get\(""",
    r"""\bsnapshot\[["']""",
    r"""\bmeasured\[["']""",
    r"""\bmeasured\.get\(""",
    r"""\basked\[["']""",
    r"""\basked\.get\(""",
)


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_looks_a_key_up_in_a_parsed_file(pattern: str) -> None:
    found = [
        f"{path.relative_to(SRC)}:{number}: {line.strip()}"
        for path in sorted(SRC.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []
