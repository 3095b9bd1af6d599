"""llms.txt: what language models and agents should know first, with a link to every page (https://llmstxt.org)."""

import json
import re
from pathlib import Path

from setpoint.cli.main import VERBS

DOCS = Path(__file__).parents[1]

HEAD = """\
# Setpoint

> Setpoint trains language models to control dynamical systems and runs the experiments that show which training works.
> One command takes an experiment from its design to a statistical report, and survives interruption.

For agents:

- Every verb has `--help`; most have `--json`, with data on stdout and messages on stderr. Exit codes: 0 success, 2
  syntax, 3 unusable input, 4 some runs failed, 5 all runs failed, 130 interrupted.
- Plan before running: `setpoint experiment plan` and `--dry-run` change nothing. The same command resumes.
- Conclusions are claims (`reports/claims.json`) with a status. Only `supported` is a result; `unresolved` is no
  evidence of no effect. Never rank runs by a single seed. `setpoint check draft.md --experiment ID` checks your text.
- `setpoint mcp` serves experiments, claims and reports over the Model Context Protocol; it runs nothing unless the user
  gives it a budget (`--allow-runs`).
"""

_CAPTIONED = re.compile(r":caption: (.+)\n\n((?:\S+\n)+)```")


def llms_txt() -> str:
    """The text of llms.txt."""
    parts = [HEAD]
    for caption, names in _CAPTIONED.findall((DOCS / "index.md").read_text(encoding="utf-8")):
        parts.append("\n".join([f"## {caption}", "", *map(_link, names.split())]))
    verbs = [f"- `setpoint {name}`: {verb.help}" for name, verb in VERBS.items()]
    parts.append("\n".join(["## Commands", "", *verbs]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _link(name: str) -> str:
    page = DOCS / f"{name}.md"
    return f"- [{_title(page if page.exists() else DOCS / f'{name}.ipynb')}]({name}.html)"


def _title(path: Path) -> str:
    """The first heading of a page, or of the page that it includes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(
            "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"
        )
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    return heading[1] if heading else path.stem.replace("_", " ").capitalize()
