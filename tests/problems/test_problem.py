"""What a problem refuses to be."""

import importlib.util
import sys
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from setpoint import plants, problems
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.errors import InputError
from setpoint.plants import Signal, require_symbolic
from setpoint.plants.double_integrator import DoubleIntegrator
from setpoint.plants.van_der_pol import VanDerPol


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
        ("steps", 50.0),
        ("evaluation_mode", "sometimes"),
        ("open_loop", False),
    ],
)
def test_a_problem_that_cannot_be_asked_is_refused(field: str, value: Any) -> None:
    values: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=rf"double_integrator: .*{field}"):
        replace(problems.get("double_integrator"), **values)


@pytest.mark.parametrize(
    ("lower", "upper"), [(-inf, inf), (3.0, -3.0), (nan, 3.0), (0.0, 0.0)], ids=["infinite", "reversed", "nan", "empty"]
)
@pytest.mark.parametrize("kind", ["states", "controls"])
def test_bounds_that_mean_nothing_are_refused(kind: str, lower: float, upper: float) -> None:
    others = DoubleIntegrator.states[1:] if kind == "states" else ()
    own = type("Own", (DoubleIntegrator,), {kind: (Signal("odd", "1", lower, upper), *others)})
    with pytest.raises(InputError, match="the bounds of odd must be finite and in order"):
        replace(problems.get("double_integrator"), plant=own())


@pytest.mark.parametrize("substeps", [0, 2.0])
def test_substeps_are_counted(substeps: Any) -> None:
    with pytest.raises(InputError, match="substeps of double_integrator must be an integer of at least 1"):
        type("Own", (DoubleIntegrator,), {"substeps": substeps})()


def test_an_initial_set_beyond_the_state_bounds_is_refused() -> None:
    problem = replace(problems.get("double_integrator"), half_width=(0.8, 1.2))
    with pytest.raises(InputError, match=r"initial states must lie within .* starts in -1.2 … 1.2"):
        TrajectoryOptimizer(problem)


def test_a_target_that_does_not_hold_by_itself_is_refused() -> None:
    problem = replace(problems.get("pendulum"), target=(0.1, 0.0), half_width=(0.1, 0.1))
    with pytest.raises(InputError, match=r"the target must be an equilibrium at zero control, but .* drifts"):
        TrajectoryOptimizer(problem)


@pytest.mark.parametrize("name", plants.shipped_names())
def test_the_shipped_problems_suit_their_plants(name: str) -> None:
    problems.get(name).require_sound()
    require_symbolic(problems.get(name).plant)


def test_a_false_claim_to_be_linear_is_refused() -> None:
    own = type("Own", (VanDerPol,), {"linear": True})
    with pytest.raises(InputError, match="van_der_pol: a plant with `linear = True` must be linear"):
        TrajectoryOptimizer(replace(problems.get("van_der_pol"), plant=own()))


def test_dynamics_that_symbols_cannot_follow_are_refused() -> None:
    def derivative(_: Any, t: Any, x: Any, u: Any, xp: Any) -> Any:
        return (x[1], u[0] if x[0] > 0 else 2 * u[0])

    own = type("Own", (DoubleIntegrator,), {"derivative": derivative})
    with pytest.raises(InputError, match="double_integrator: derivative must accept CasADi symbols") as caught:
        TrajectoryOptimizer(replace(problems.get("double_integrator"), plant=own()))
    assert "\n" not in str(caught.value)


def test_dynamics_that_change_with_time_are_refused() -> None:
    def derivative(_: Any, t: Any, x: Any, u: Any, xp: Any) -> Any:
        return (x[1], u[0] * (1 + 0.9 * xp.sin(3 * t)))

    own = type("Own", (DoubleIntegrator,), {"derivative": derivative})
    with pytest.raises(InputError, match="double_integrator: derivative must not depend on time"):
        TrajectoryOptimizer(replace(problems.get("double_integrator"), plant=own()))


def test_a_plant_from_elsewhere_is_known_by_its_source(tmp_path: Path) -> None:
    code = "from setpoint.plants.double_integrator import DoubleIntegrator\nclass Own(DoubleIntegrator):\n    {}\n"
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
