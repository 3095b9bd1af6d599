"""What a problem refuses to be."""

from dataclasses import replace
from math import inf, nan
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
