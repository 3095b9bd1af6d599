"""The source tree."""

import ast
from pathlib import Path

from pages.markdown import first_paragraph, page

PACKAGE = Path(__file__).parents[2] / "src" / "setpoint"


def source_tree() -> str:
    """Every module with its summary, folder by folder."""
    lines = ["# Source tree", "", "Every module of `src/setpoint` with the first sentence of its docstring."]
    folders = [PACKAGE, *sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)]
    for folder in folders:
        modules = [path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("__")]
        name = folder.relative_to(PACKAGE.parent).as_posix()
        lines += ["", f"## `{name}`", "", f"{_summary(folder / '__init__.py')}.", ""]
        lines += [f"- `{path.name}`: {_summary(path)}" for path in modules]
    return page(*lines)


def _summary(file: Path) -> str:
    return first_paragraph(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))))
