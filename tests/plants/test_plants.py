"""Plants by mathematics: order of the integrator, one truth for simulator and solver, Jacobians, coefficients."""

from contextlib import suppress
from dataclasses import replace

import casadi
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from setpoint import plants, problems
from setpoint.errors import InputError
from setpoint.plants import Interval, Plant, SecondOrder, draw_member, linearise, rk4_step
from setpoint.plants.orbit_raising import OrbitRaising
from setpoint.plants.pendulum import PendulumSwingup
from setpoint.plants.van_der_pol import VanDerPol

PLANTS = [plants.get(name) for name in plants.names()]
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


@pytest.mark.parametrize("name", plants.shipped_names())
def test_the_integrator_is_of_fourth_order(name: str) -> None:
    plant = plants.get(name)
    if name in {"double_integrator", "double_integrator_tight"}:
        pytest.skip("the integrator is exact for this plant")
    problem = problems.get(name)
    centre = problem.initial_centre
    x, u = centre + 0.4 * (problem.initial_states(1, "order")[0] - centre), 0.4 * plant.control_upper
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
    plant = plants.get("double_integrator")
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


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant.coefficients], ids=lambda plant: plant.name)
def test_the_coefficients_reproduce_the_derivative(plant: Plant) -> None:
    x, u = random_points(plant, 200)
    family = SecondOrder(**plant.coefficients, dt_s=plant.dt_s)
    named = plant.derivative(0.0, tuple(x.T), tuple(u.T), np)
    assert np.array(family.derivative(0.0, tuple(x.T), tuple(u.T), np)) == pytest.approx(np.array(named), abs=1e-12)


@by_name
def test_jacobians_agree_with_finite_differences(plant: Plant) -> None:
    x, u, h = problems.get(plant.name).initial_states(1, "jacobian")[0], 0.4 * plant.control_upper, 1e-6
    a, b = linearise(plant, x, u)
    for column, direction in enumerate(np.eye(plant.n_x)):
        difference = (plant.step(0.0, x + h * direction, u) - plant.step(0.0, x - h * direction, u)) / (2 * h)
        assert a[:, column] == pytest.approx(difference, abs=1e-8)
    for column, direction in enumerate(np.eye(plant.n_u)):
        difference = (plant.step(0.0, x, u + h * direction) - plant.step(0.0, x, u - h * direction)) / (2 * h)
        assert b[:, column] == pytest.approx(difference, abs=1e-8)


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
    assert [plants.get(plant.short_name) for plant in PLANTS] == PLANTS
    with pytest.raises(InputError, match=r"Did you mean 'pendulum'\?"):
        plants.get("pendlum")


def rolled_out(plant: Plant, x: np.ndarray, steps: int) -> np.ndarray:
    """States (steps + 1, B, n_x) without control."""
    states = [x]
    for _ in range(steps):
        states.append(plant.step(0.0, states[-1], np.zeros((len(x), plant.n_u))))
    return np.array(states)


def test_the_undamped_pendulum_keeps_its_energy() -> None:
    plant = PendulumSwingup(damping=0.0, dt_s=0.01)
    angle, rate = np.moveaxis(rolled_out(plant, problems.get(plant.name).initial_states(20, "energy"), 500), -1, 0)
    energy = rate**2 / 2 + plant.gravity_per_length * np.cos(angle)
    assert np.abs(energy - energy[0]).max() < 1e-6


def test_a_coasting_orbit_keeps_angular_momentum_and_energy() -> None:
    plant = OrbitRaising(dt_s=0.02)
    states = rolled_out(plant, problems.get(plant.name).initial_states(20, "invariants"), 500)
    radius, radial, tangential = np.moveaxis(states, -1, 0)
    for invariant in (radius * tangential, (radial**2 + tangential**2) / 2 - 1 / radius):
        assert np.abs(invariant - invariant[0]).max() < 1e-8


@pytest.mark.parametrize("name", ["detumble", "attitude_mrp"])
def test_a_free_body_keeps_angular_momentum_and_energy(name: str) -> None:
    plant = replace(plants.get(name), dt_s=0.02)  # type: ignore[type-var]
    states = rolled_out(plant, problems.get(name).initial_states(20, "invariants"), 500)
    inertia = np.array([1.0, 1.5, 2.0])
    momentum = inertia * states[..., -3:]
    energy = (inertia * states[..., -3:] ** 2).sum(axis=-1)
    for invariant in ((momentum**2).sum(axis=-1), energy):
        assert np.abs(invariant - invariant[0]).max() < 1e-8
    if name == "attitude_mrp":
        inertial = np.einsum("tbji,tbj->tbi", rotation(states[..., :3]), momentum)
        assert np.abs(inertial - inertial[0]).max() < 1e-7


def rotation(s: np.ndarray) -> np.ndarray:
    """From the inertial to the body frame, by modified Rodrigues parameters (Schaub & Junkins, eq. 3.144)."""
    squared = (s**2).sum(axis=-1)[..., None, None]
    cross = np.zeros((*s.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -s[..., 2], s[..., 1], -s[..., 0]
    cross = cross - np.swapaxes(cross, -1, -2)
    return np.asarray(np.eye(3) + (8 * cross @ cross - 4 * (1 - squared) * cross) / (1 + squared) ** 2)


@pytest.mark.parametrize(
    "name", ["linear_oscillator", "pendulum_swingup", "orbit_raising", "attitude_mrp", "cart_pole"]
)
def test_a_conservative_plant_runs_backwards_to_where_it_began(name: str) -> None:
    plant = replace(
        plants.get(name),  # type: ignore[type-var]
        dt_s=0.01,
        **{key: 0.0 for key in ("damping", "zeta") if key in plants.get(name).parameters},
    )
    x = problems.get(name).initial_states(5, "reversal")
    forth = rolled_out(plant, x, 100)[-1]
    back = rolled_out(replace(plant, dt_s=0.01), forth * REVERSED[name], 100)[-1] * REVERSED[name]  # type: ignore[type-var]
    assert np.abs(back - x).max() < 1e-6


REVERSED = {
    "linear_oscillator": np.array([1.0, -1.0]),
    "pendulum_swingup": np.array([1.0, -1.0]),
    "orbit_raising": np.array([1.0, -1.0, -1.0]),
    "attitude_mrp": np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0]),
    "cart_pole": np.array([1.0, -1.0, 1.0, -1.0]),
}
"""What turning time around does to the states: rates change their sign."""


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant.linear], ids=lambda plant: plant.name)
def test_what_is_called_linear_is_linear(plant: Plant) -> None:
    x, u = random_points(plant, 20)
    a, b = linearise(plant, np.zeros(plant.n_x), np.zeros(plant.n_u))
    assert plant.step(0.0, x, u) == pytest.approx(x @ a.T + u @ b.T, abs=1e-12)


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant.family], ids=lambda plant: plant.name)
def test_a_family_has_its_nominal_member_outside_of_the_held_out_ones(plant: Plant) -> None:
    rng = np.random.default_rng(1)
    for name, interval in plant.family.items():
        nominal = plant.parameters[name]
        assert interval.low <= nominal <= interval.high
        assert not interval.holds_out(nominal)
        for held_out in (True, False):
            drawn = [draw_member(plant, rng, held_out=held_out).parameters[name] for _ in range(50)]
            assert all(interval.holds_out(value) is held_out for value in drawn)


def test_parameters_that_make_no_plant_are_refused() -> None:
    with pytest.raises(InputError, match="parameter mu of van_der_pol must be finite"):
        VanDerPol(mu=float("nan"))
    with pytest.raises(InputError, match="grid interval dt_s of van_der_pol must be positive"):
        VanDerPol(dt_s=0.0)
    with pytest.raises(InputError, match="must lie within its family"):
        Interval(0.0, 1.0, 0.5, 2.0)
    with pytest.raises(InputError, match="is one plant, not a family"):
        draw_member(plants.get("duffing"), np.random.default_rng(0), held_out=True)


def from_text(plant: Plant, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The slopes that `equations` state: `^` is a power, and `with` introduces abbreviations."""
    names: dict[str, object] = {"sin": np.sin, "cos": np.cos}
    open_ones: dict[str, str] = {}
    for line in plant.equations:
        equation, _, abbreviations = line.partition(" with ")
        for part in (equation, *filter(None, abbreviations.split(", "))):
            left, _, right = part.partition(" = ")
            open_ones[left.replace("'", "_slope")] = right.replace("'", "_slope").replace("^", "**")
    order = [line.partition("' = ")[0] for line in plant.equations]
    names |= dict(zip(order, x, strict=True))
    names |= {"u": u[0]} if plant.n_u == 1 else {f"u{i}": value for i, value in enumerate(u, start=1)}
    while open_ones:
        before = len(open_ones)
        for left, right in list(open_ones.items()):
            with suppress(NameError):
                names[left] = eval(right, {"__builtins__": {}}, names)  # the text is our own
                del open_ones[left]
        assert len(open_ones) < before, f"{plant.name}: {open_ones} cannot be read"
    return np.array([names[f"{name}_slope"] for name in order])


@by_name
def test_the_equations_of_prompts_are_those_of_the_simulator(plant: Plant) -> None:
    x, u = random_points(plant, 20)
    for state, control in zip(x, u, strict=True):
        expected = np.array(plant.derivative(0.0, tuple(state), tuple(control), np))
        assert from_text(plant, state, control) == pytest.approx(expected, rel=2e-3, abs=2e-3)
