"""Write the pages of the documentation that follow from the code: `python docs/generate.py`.

With `--check` nothing is written: the script ends with an error if a page is not that of the code, or if a public name
lacks a docstring.
"""

import sys
from pathlib import Path

from pages.claims import claims
from pages.command_line import command_line
from pages.failures import failures
from pages.guide import guide
from pages.models import parameters, specification
from pages.python_api import python_api, undocumented
from pages.schemas import profile_file, specification_file
from pages.source_tree import source_tree

DOCS = Path(__file__).parent

PAGES = {
    "explanation/reading_a_report.md": guide,
    "reference/command_line.md": command_line,
    "reference/claims.md": claims,
    "reference/specification.md": specification,
    "reference/parameters.md": parameters,
    "reference/failures.md": failures,
    "reference/python_api.md": python_api,
    "reference/source_tree.md": source_tree,
    "published/specification.schema.json": specification_file,
    "published/profile.schema.json": profile_file,
}


def main(arguments: list[str]) -> int:
    """Write every generated page, or check them; the exit code."""
    if "--check" in arguments:
        wrong = [f"docs/{name} is not that of the code. Run python docs/generate.py." for name in stale()]
        wrong += [f"{name} is public and has no docstring." for name in undocumented()]
        sys.stderr.writelines(f"{each}\n" for each in wrong)
        return 1 if wrong else 0
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
    return 0


def stale() -> list[str]:
    """The pages that differ from what would be written."""
    return [name for name, page in PAGES.items() if (DOCS / name).read_text(encoding="utf-8") != page()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
