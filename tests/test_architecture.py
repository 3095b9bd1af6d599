"""The architecture, as data, and the test that keeps it true."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "setpoint"

BOTTOM = {
    "errors", "arguments", "display", "docstrings", "seeding", "fingerprint", "processes", "validation", "yaml_files",
    "modes", "formatting", "regular_files", "plain_text",
}  # fmt: skip

WINGED = {"analysis", "experiments"}
"""Packages whose subfolders are layers of their own."""

# layer -> the layers it may import, `BOTTOM` besides. Read from top to bottom, this is the data flow.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "arguments": set(),
    "display": set(),
    "docstrings": set(),
    "seeding": set(),
    "fingerprint": set(),
    "processes": set(),
    "validation": set(),
    "yaml_files": set(),
    "modes": set(),
    "formatting": set(),
    "regular_files": set(),
    "plain_text": set(),
    "provenance": set(),
    "artifacts": set(),
    "records": {"artifacts"},
    "trajectory": set(),
    "plants": set(),
    "problems": {"plants"},
    "controllers": {"trajectory", "plants", "problems"},
    "simulation": {"trajectory", "plants", "problems", "controllers"},
    "metrics": {"trajectory", "problems"},
    "references": {"trajectory", "problems", "controllers", "simulation", "metrics"},
    "language": {"trajectory", "plants", "problems", "controllers"},
    "rewards": {"trajectory", "problems", "controllers", "simulation", "metrics", "language"},
    "episodes": {"trajectory"},
    "demonstrations": {"artifacts", "provenance", "plants", "problems", "controllers", "simulation"},
    "pretraining": {"artifacts", "provenance", "plants", "problems", "language"},
    "policies": {"artifacts", "trajectory", "plants", "problems", "controllers", "language"},
    "training": {
        "artifacts", "problems", "controllers", "simulation", "rewards", "language", "demonstrations", "policies",
    },
    "evaluation": {
        "artifacts", "plants", "problems", "controllers", "simulation", "metrics", "episodes", "language", "policies",
    },
    "execution": {"artifacts", "records", "provenance"},
    "experiments.planning": {
        "artifacts", "records", "provenance", "plants", "problems", "demonstrations", "language", "policies",
        "training", "evaluation",
    },
    "experiments.preflight": {"artifacts", "provenance", "policies"},
    "experiments.cost": {
        "artifacts", "records", "problems", "language", "policies", "training", "evaluation", "execution",
        "experiments.planning",
        "experiments.preflight",
    },
    "experiments.running": {"artifacts", "records", "execution", "experiments.planning"},
    "experiments.search": {"artifacts", "records", "experiments.planning", "experiments.running"},
    "experiments.request": {"artifacts", "records", "policies", "experiments.planning", "experiments.running"},
    "experiments.launch": {
        "artifacts", "records", "execution", "experiments.planning", "experiments.cost", "experiments.preflight",
        "experiments.running", "experiments.request", "experiments.search",
    },
    "experiments.slurm": {
        "artifacts", "records", "execution", "experiments.planning", "experiments.cost", "experiments.running",
        "experiments.launch",
    },
    "housekeeping": {"artifacts", "records", "experiments.running"},
    "analysis.statistics": set(),
    "analysis.data": {"artifacts", "records", "episodes", "analysis.statistics"},
    "analysis.runs": {"records", "analysis.statistics", "analysis.data"},
    "analysis.factors": {"analysis.statistics", "analysis.data", "analysis.runs"},
    "analysis.arms": {"analysis.statistics", "analysis.data", "analysis.runs"},
    "analysis.overview": {"analysis.data", "analysis.runs", "analysis.factors", "analysis.arms"},
    "analysis.side_by_side": {"records", "analysis.data", "analysis.runs", "analysis.overview"},
    "reports": {"artifacts", "records", "analysis", "trajectory", "plants", "problems", "episodes"},
    "server": {"artifacts", "records", "experiments.running", "analysis.data", "reports"},
    "drafts": {"analysis.data", "reports"},
    "trackers": {"artifacts", "records", "analysis.data", "reports"},
    "capsules": {"artifacts", "records", "execution", "experiments.planning", "experiments.running", "reports"},
    "truth": {"artifacts", "records", "analysis", "episodes", "trajectory"},
    "bridges": {"trajectory", "plants", "problems", "simulation", "metrics"},
    "testing": {
        "artifacts", "plants", "problems", "controllers", "simulation", "metrics", "rewards", "language",
    },
    "api": {
        "artifacts", "records", "trajectory", "plants", "problems", "controllers", "simulation", "metrics", "language",
        "episodes", "policies", "evaluation", "execution", "experiments", "analysis", "reports", "truth",
    },
    "agents": {
        "artifacts", "records", "plants", "experiments.planning", "experiments.running", "experiments.request",
        "reports", "drafts", "api",
    },
    "cli": {
        "artifacts", "records", "plants", "problems", "controllers", "simulation", "language", "demonstrations",
        "pretraining", "policies", "references", "execution", "experiments.planning", "experiments.preflight",
        "experiments.cost", "experiments.running", "experiments.request", "experiments.slurm", "housekeeping",
        "capsules", "trackers", "drafts", "agents", "server",
        "analysis.data", "reports", "truth", "api",
    },
}  # fmt: skip

# heavy third-party package -> the only packages of ours that may import it at all
HEAVY = {
    "gguf": {"policies"},
    "llguidance": {"policies"},
    "torch": {"policies", "training", "pretraining"},
    "transformers": {"policies", "training", "pretraining"},
    "peft": {"policies", "training"},
    "tokenizers": {"pretraining", "policies"},
    "trl": {"training"},
    "datasets": {"training"},
    "casadi": {"plants", "controllers"},
    "scipy": {"analysis", "truth", "experiments"},
    "optuna": {"experiments"},
    "sklearn": {"controllers"},
    "gymnasium": {"bridges"},
    "vl_convert": {"reports"},
    "rocrate": {"capsules"},
    "tensorboard": {"trackers"},
    "mlflow": {"trackers"},
    "wandb": {"trackers"},
    "trackio": {"trackers"},
    "mcp": {"agents"},
    "starlette": {"server"},
    "uvicorn": {"cli"},
}

MOST_DOORS = 8
LONGEST_FUNCTION = 60


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Absolute names imported anywhere in a module, function bodies included, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write absolute imports"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def layer(module: str) -> str:
    """The layer of a dotted name below `setpoint`."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in WINGED and len(parts) > 1 else parts[0]


def module_of(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for file in sorted(SRC.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}
LAYERED = [name for name in FILES if name not in {"", "__main__", *WINGED}]


PACKAGES = {name.partition(".")[0] for name in FILES}


def arrows(name: str) -> set[str]:
    """Other layers that the module `name` imports."""
    found = (full.removeprefix("setpoint.") for full, _ in imports(TREES[name]) if full.startswith("setpoint."))
    return {layer(other) for other in found if other != "__version__"} - {layer(name)}


def allowed(of: str) -> set[str]:
    """Layers that `of` may import; a permission for a winged package is one for each of its wings."""
    named = MAY_IMPORT[of] | BOTTOM
    return {other for other in MAY_IMPORT if other in named or other.partition(".")[0] in named} | named


def test_the_rule_itself_has_no_cycle() -> None:
    graph = {of: {other for other in allowed(of) if other in MAY_IMPORT and of not in BOTTOM} for of in MAY_IMPORT}
    assert set(TopologicalSorter(graph).static_order()) == set(MAY_IMPORT)
    assert {layer(name) for name in LAYERED} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", LAYERED)
def test_imports_point_one_way(name: str) -> None:
    assert arrows(name) <= allowed(layer(name))


@pytest.mark.parametrize("name", LAYERED)
def test_heavy_packages_stay_in_their_layers(name: str) -> None:
    for full, line in imports(TREES[name]):
        package = full.partition(".")[0]
        if package in HEAVY:
            assert name.partition(".")[0] in HEAVY[package], f"line {line} may not import {package}"
            assert name.rpartition(".")[2] != "config", "a config module stays light"


def test_every_permission_is_used() -> None:
    used: dict[str, set[str]] = {of: set() for of in MAY_IMPORT}
    for name in LAYERED:
        used[layer(name)] |= {part for other in arrows(name) for part in (other, other.partition(".")[0])}
    unused = {of: sorted(others - used[of]) for of, others in MAY_IMPORT.items() if others - used[of]}
    assert unused == {}
    heavy = {
        package: {
            name.partition(".")[0]
            for name in LAYERED
            for full, _ in imports(TREES[name])
            if full.split(".")[0] == package
        }
        for package in HEAVY
    }
    assert heavy == HEAVY


def _module_cycle() -> list[str]:
    """Modules and packages that import each other anywhere in their files, if any; types and functions included."""
    graph: dict[str, set[str]] = {}
    for name, tree in TREES.items():
        found = {full.removeprefix("setpoint.") for full, _ in imports(tree) if full.startswith("setpoint.")}
        graph[name] = {other if other in FILES else other.rpartition(".")[0] for other in found} - {name, ""}
    sorter = TopologicalSorter({name: others for name, others in graph.items() if name})  # the root names everything
    try:
        sorter.prepare()
    except ValueError as cycle:
        return list(cycle.args[1])
    return []


def test_no_modules_import_each_other() -> None:
    assert _module_cycle() == []


@pytest.mark.parametrize("name", LAYERED)
def test_no_layer_uses_the_facade(name: str) -> None:
    """`import setpoint` offers the public names of the upper layers; whoever needs one imports its module."""
    facade = {full for full, _ in imports(TREES[name]) if full.partition(".")[0] == "setpoint"}
    assert "setpoint" not in facade
    assert {full.removeprefix("setpoint.").partition(".")[0] for full in facade} <= {*PACKAGES, "__version__"}


@pytest.mark.parametrize("package", sorted(WINGED))
def test_winged_packages_have_few_doors(package: str) -> None:
    doors = {path.stem for path in (SRC / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(doors - {"__init__"}) <= MOST_DOORS


def test_functions_are_short() -> None:
    long = [
        f"{name}.{node.name}: {length} lines"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_claims_are_read_by_their_types() -> None:
    """Whoever takes a claim's id apart, or looks things up in a dict of details, hides from the type checker."""
    untyped = re.compile(r"\.id\.(r?split|r?partition|startswith|endswith|removeprefix)\b|\bdetails(\[|\.get\()")
    lines = [(name, line) for name, file in FILES.items() for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(name, line) for name, line in lines if untyped.search(line)] == []


def test_importing_the_command_line_stays_light() -> None:
    heavy = set(HEAVY) | {"numpy", "pyarrow", "pydantic"}
    code = f"import setpoint, setpoint.cli.main, sys; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], f"loaded by `import setpoint.cli.main`: {done.stdout}"
