"""The architecture, as data, and the test that keeps it true."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "setpoint"

BOTTOM = {"errors", "seeding", "fingerprint", "processes"}

# layer -> the layers it may import, `BOTTOM` besides. Read from top to bottom, this is the data flow.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "seeding": set(),
    "fingerprint": {"errors"},
    "processes": set(),
    "provenance": set(),
    "artifacts": {"provenance"},
    "trajectory": set(),
    "systems": set(),
    "problems": {"trajectory", "systems"},
    "controllers": {"trajectory", "systems", "problems"},
    "simulation": {"trajectory", "systems", "problems", "controllers"},
    "metrics": {"trajectory", "problems"},
    "language": {"trajectory", "systems", "problems", "controllers"},
    "rewards": {"trajectory", "systems", "problems", "controllers", "simulation", "metrics", "language"},
    "episodes": {"trajectory"},
    "demonstrations": {
        "artifacts", "provenance", "trajectory", "systems", "problems", "controllers", "simulation", "language",
    },
    "policies": {"artifacts", "trajectory", "systems", "problems", "controllers", "language"},
    "training": {
        "artifacts", "provenance", "trajectory", "systems", "problems", "controllers", "simulation", "metrics",
        "rewards",
        "language", "demonstrations", "policies",
    },
    "evaluation": {
        "artifacts", "trajectory", "systems", "problems", "controllers", "simulation", "metrics", "episodes",
        "language",
        "policies",
    },
    "execution": {"artifacts", "provenance"},
    "experiments": {
        "artifacts", "provenance", "systems", "problems", "demonstrations", "policies", "training", "evaluation",
        "execution",
        "episodes",
    },
    "analysis": {"artifacts", "episodes"},
    "reports": {"artifacts", "analysis", "trajectory", "systems", "problems", "episodes"},
    "truth": {"artifacts", "analysis", "episodes", "trajectory"},
    "testing": {
        "artifacts", "trajectory", "systems", "problems", "controllers", "simulation", "metrics", "rewards", "language",
        "execution",
    },
    "cli": {
        "artifacts", "provenance", "systems", "problems", "controllers", "simulation", "metrics", "language",
        "demonstrations",
        "policies", "training", "evaluation", "execution", "experiments", "analysis", "reports", "episodes", "truth",
    },
}  # fmt: skip

# heavy third-party package -> the only layers that may import it at all
HEAVY = {
    "torch": {"policies", "training"},
    "transformers": {"policies", "training"},
    "peft": {"policies", "training"},
    "tokenizers": {"training"},
    "trl": {"training"},
    "datasets": {"training"},
    "casadi": {"systems", "controllers"},
    "scipy": {"systems", "controllers", "analysis", "truth", "experiments"},
    "sklearn": {"controllers"},
    "matplotlib": {"reports"},
}


def imports(file: Path) -> list[str]:
    """Absolute module names imported anywhere in `file`, function bodies included."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write absolute imports"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer_of(file: Path) -> str:
    parts = file.relative_to(SRC).parts
    return parts[0] if len(parts) > 1 else file.stem


FILES = [f for f in sorted(SRC.rglob("*.py")) if f.parent != SRC or f.stem not in {"__init__", "__main__"}]


def test_the_rule_itself_has_no_cycle() -> None:
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert set(order) == set(MAY_IMPORT)
    assert {layer_of(f) for f in FILES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(SRC).as_posix())
def test_imports_point_one_way(file: Path) -> None:
    layer = layer_of(file)
    for name in imports(file):
        top, _, rest = name.partition(".")
        if top == "setpoint" and rest != "__version__":
            target = rest.split(".")[0]
            assert target == layer or target in MAY_IMPORT[layer] | BOTTOM, f"{layer} may not import {name}"
        elif top in HEAVY:
            assert layer in HEAVY[top], f"{layer} may not import {top}"
            assert file.stem != "config", f"{file}: a config module stays light; it may not import {top}"


def test_importing_the_command_line_stays_light() -> None:
    heavy = set(HEAVY) | {"numpy", "pyarrow", "pydantic"}
    code = f"import setpoint, setpoint.cli.main, sys; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], f"loaded by `import setpoint.cli.main`: {done.stdout}"
