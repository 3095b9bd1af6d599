"""Plants by mathematics: order of the integrator, one truth for simulator and solver, Jacobians, coefficients."""

import casadi
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from setpoint import problems, systems
from setpoint.errors import InputError
from setpoint.systems import Plant, SecondOrder, linearise, rk4_step

PLANTS = [systems.get(name) for name in systems.names()]
by_name = pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)


def random_points(plant: Plant, count: int) -> tuple[np.ndarray, np.ndarray]:
    """States and controls, some of them beyond the bounds."""
    rng = np.random.default_rng(7)
    x = rng.uniform(1.5 * plant.state_lower, 1.5 * plant.state_upper, (count, plant.n_x))
    return x, rng.uniform(plant.control_lower, plant.control_upper, (count, plant.n_u))


def exact(plant: Plant, x: np.ndarray, u: np.ndarray, time_s: float) -> np.ndarray:
    def slope(t: float, state: np.ndarray) -> tuple[float, ...]:
        return plant.derivative(t, state, u, np)

    return np.asarray(solve_ivp(slope, (0, time_s), x, rtol=1e-13, atol=1e-13, method="DOP853").y[:, -1])


@pytest.mark.parametrize("name", ["van_der_pol", "pendulum"])
def test_the_integrator_is_of_fourth_order(name: str) -> None:
    plant = systems.get(name)
    x, u = np.array([0.5, -0.4]), np.array([0.7])
    reference = exact(plant, x, u, 1.0)
    counts = np.array([8, 16, 32, 64])
    errors = [
        np.abs(np.array(rk4_step(plant.derivative, 0.0, tuple(x), tuple(u), 1.0, np, substeps=n)) - reference).max()
        for n in counts.tolist()
    ]
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(4.0, abs=0.25)


@by_name
def test_one_step_is_the_solution_of_the_differential_equation(plant: Plant) -> None:
    x, u = random_points(plant, 5)
    for state, control in zip(x / 1.5, u, strict=True):
        expected = exact(plant, state, control, plant.dt_s)
        assert plant.step(0.0, state, control) == pytest.approx(expected, abs=2e-4)


def test_a_step_of_the_double_integrator_is_exact() -> None:
    plant = systems.get("double_integrator")
    x, u = random_points(plant, 50)
    h = plant.dt_s
    expected = np.stack([x[:, 0] + h * x[:, 1] + h**2 / 2 * u[:, 0], x[:, 1] + h * u[:, 0]], axis=-1)
    assert plant.step(0.0, x, u) == pytest.approx(expected, abs=1e-14)


@by_name
def test_the_solver_steps_as_the_simulator_does(plant: Plant) -> None:
    x, u = casadi.SX.sym("x", plant.n_x), casadi.SX.sym("u", plant.n_u)
    step = casadi.Function(
        "step", [x, u], [casadi.vertcat(*plant.step_components(0.0, casadi.vertsplit(x), casadi.vertsplit(u), casadi))]
    )
    states, controls = random_points(plant, 200)
    symbolic = np.asarray(step(states.T, controls.T)).T
    assert np.abs(symbolic - plant.step(0.0, states, controls)).max() <= 1e-12


@by_name
def test_the_coefficients_reproduce_the_derivative(plant: Plant) -> None:
    x, u = random_points(plant, 200)
    family = SecondOrder(**plant.coefficients, dt_s=plant.dt_s)
    named = plant.derivative(0.0, tuple(x.T), tuple(u.T), np)
    assert np.array(family.derivative(0.0, tuple(x.T), tuple(u.T), np)) == pytest.approx(np.array(named), abs=1e-12)


@by_name
def test_jacobians_agree_with_finite_differences(plant: Plant) -> None:
    x, u, h = np.array([0.3, -0.2]), np.array([0.4]), 1e-6
    a, b = linearise(plant, x, u)
    for column, direction in enumerate(np.eye(plant.n_x)):
        difference = (plant.step(0.0, x + h * direction, u) - plant.step(0.0, x - h * direction, u)) / (2 * h)
        assert a[:, column] == pytest.approx(difference, abs=1e-8)
    difference = (plant.step(0.0, x, u + h) - plant.step(0.0, x, u - h)) / (2 * h)
    assert b[:, 0] == pytest.approx(difference, abs=1e-8)


@by_name
def test_the_target_is_an_equilibrium_inside_the_bounds(plant: Plant) -> None:
    target = np.array(problems.get(plant.name).target)
    assert plant.step(0.0, target, np.zeros(plant.n_u)) == pytest.approx(target, abs=1e-15)
    assert (plant.state_lower < target).all()
    assert (target < plant.state_upper).all()


@by_name
def test_batches_step_as_single_states_do(plant: Plant) -> None:
    x, u = random_points(plant, 30)
    together = plant.step(0.0, x.reshape(5, 6, -1), u.reshape(5, 6, -1)).reshape(30, -1)
    alone = np.array([plant.step(0.0, state, control) for state, control in zip(x, u, strict=True)])
    assert together == pytest.approx(alone, rel=1e-15, abs=1e-15)


def test_short_names_name_the_same_plant() -> None:
    assert [systems.get(plant.short_name) for plant in PLANTS] == PLANTS
    with pytest.raises(InputError, match=r"Did you mean 'pendulum'\?"):
        systems.get("pendlum")
