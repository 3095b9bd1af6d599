"""`docs/adding_a_system.md`, done word for word; and plug-ins that are broken."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from setpoint.cli.main import main
from setpoint.systems import discovery, registry

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding_a_system.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_page_works_from_start_to_finish(tmp_path: Path) -> None:
    for name, content in FILE.findall(PAGE):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"two_carts.py", "pyproject.toml", "test_two_carts.py"}
    lines = [line for block in COMMANDS.findall(PAGE) for line in block.splitlines()]
    assert lines[0] == "pip install ."
    outputs = {line: _give(line, tmp_path) for line in lines}
    assert "two carts joined by a spring" in outputs["setpoint systems"]
    assert "v2' = 2*(x1 - x2)" in outputs["setpoint systems two_carts"]
    assert "passed" in outputs["pytest -q test_two_carts.py"]
    assert "global optimum" in outputs["setpoint baselines --systems two_carts --cases 5"]


def _give(line: str, folder: Path) -> str:
    """Give one command of the page in `folder`; what it installs goes there as well, and not into the environment."""
    program, *words = shlex.split(line)
    site = folder / "site"
    if program == "pip":
        words = [*words, "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    path = os.pathsep.join([str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


BROKEN = {
    "raises": "import nothing_of_this_name\n",
    "other_name": "from setpoint.problems import get\nPROBLEM = get('pendulum')\n",
    "no_problem": "PROBLEM = 3\n",
    "infinite": (
        "from dataclasses import replace\nfrom setpoint.problems import get\n"
        "PROBLEM = replace(get('pendulum'), steps=0)\n"
    ),
}


@pytest.fixture
def broken_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment whose every plug-in is broken in its own way."""
    for name, code in BROKEN.items():
        (tmp_path / f"plugin_{name}.py").write_text(code, encoding="utf-8")
    points = [EntryPoint(name, f"plugin_{name}:PROBLEM", discovery.GROUP) for name in BROKEN]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(discovery, "entry_points", lambda group: points if group == discovery.GROUP else [])
    discovery.load_plugins.cache_clear()
    yield
    discovery.load_plugins.cache_clear()


@pytest.mark.usefixtures("broken_plugins")
def test_broken_plugins_are_listed_with_the_reason_and_the_others_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.names() == registry.shipped_names()
    assert main(["systems"]) == 0
    captured = capsys.readouterr()
    assert "double_integrator" in captured.out
    reasons = dict(line.split(": ", 1) for line in captured.err.splitlines())
    assert "No module named 'nothing_of_this_name'" in reasons["raises"]
    assert "must be named after its plant, 'pendulum'" in reasons["other_name"]
    assert "must lead to a Problem" in reasons["no_problem"]
    assert "horizon and starts must be at least 1" in reasons["infinite"]


@pytest.mark.usefixtures("broken_plugins")
def test_asking_for_a_broken_plugin_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systems", "raises"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("setpoint: error: system 'raises' comes from a plug-in that cannot be used")
