"""What a problem refuses to be."""

import importlib.util
import sys
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from setpoint import problems
from setpoint.errors import InputError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("terminal_weight", nan),
        ("terminal_weight", -10.0),
        ("q", (10.0, inf)),
        ("q", (-1.0, 1.0)),
        ("r", (-0.1,)),
        ("half_width", (1.0, 0.0)),
        ("half_width", (1.0, -0.5)),
        ("steps", 0),
    ],
)
def test_a_problem_that_cannot_be_asked_is_refused(field: str, value: Any) -> None:
    values: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=rf"double_integrator: .*{'horizon' if field == 'steps' else field}"):
        replace(problems.get("double_integrator"), **values)


def test_a_plant_from_elsewhere_is_known_by_its_source(tmp_path: Path) -> None:
    code = "from setpoint.systems.double_integrator import DoubleIntegrator\nclass Own(DoubleIntegrator):\n    {}\n"
    found = []
    for number, body in enumerate(("pass", "pass", "substeps = DoubleIntegrator.substeps  # another text")):
        file = tmp_path / f"own_plant_{number}.py"
        file.write_text(code.format(body))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(replace(problems.get("double_integrator"), plant=module.Own()))
    first, same, other = (problem.definition() for problem in found)
    assert not found[0].built_in
    assert first == same != other
    assert "source" not in problems.get("double_integrator").definition()
