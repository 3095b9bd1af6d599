"""What people get besides the package: the wheel, the citation, and the container recipes."""

import re
from pathlib import Path

import pytest
import yaml
from dev import wheel

from setpoint import __version__

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_in_a_bare_environment(tmp_path: Path) -> None:
    built = wheel.built(tmp_path)
    setpoint = wheel.installed(built, tmp_path / "bare", "")
    assert wheel.tried(str(setpoint), tmp_path, demo=False)[0] == f"setpoint {__version__}"


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "license", "version"} <= citation.keys()
    assert citation["version"] == __version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Dockerfile", "setpoint.def"])
def test_container_recipes_copy_files_that_exist_and_pin_the_versions(name: str) -> None:
    recipe = (ROOT / "containers" / name).read_text(encoding="utf-8")
    assert "python:3.11" in recipe
    assert re.findall(r"-c (?:/src/)?constraints\.txt", recipe) and "pip install" in recipe
    copied = re.findall(r"^(?:COPY|   ) ((?:[\w./-]+ )+)/src(?:/[\w./-]*)?$", recipe, re.MULTILINE)
    names = [word for line in copied for word in line.split() if word != "cd"]
    assert {"src", "pyproject.toml", "constraints.txt"} <= set(names)
    assert [word for word in names if not (ROOT / word).exists()] == []
