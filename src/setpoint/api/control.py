"""Systems, problems, simulation and optimal control, for one state or a batch."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from setpoint import metrics, plants, problems
from setpoint.arguments import require_instance, require_text
from setpoint.controllers import Controller
from setpoint.display import html_table, require_pandas, text_table
from setpoint.errors import InputError, shown
from setpoint.problems import MoveBlocking, Problem, suite_states
from setpoint.simulation import NO_DISTURBANCE, Disturbance, run_controller
from setpoint.simulation import simulate as simulate_plant
from setpoint.trajectory import Trajectory

if TYPE_CHECKING:
    from setpoint.reports.figures import Figure

PLOTTED_CASES = 12
"""Number of optimal trajectories in the plot of a system."""


def systems() -> list[str]:
    """Return the names of all systems: built-in, plug-in and registered ones."""
    return list(plants.names())


def problem(name: str) -> Problem:
    """Return the optimal-control problem of a system.

    Args:
        name: full or short name of the system.

    Raises:
        InputError: the system is unknown; the message lists the known ones.
    """
    return problems.get(require_text(name, "name"))


def register_system(problem: Problem) -> Problem:
    """Register the problem of your own plant under its name in this process, in place of an earlier one of that name.

    Simulation, optimal control and evaluation then accept the name. Training runs in other processes, which cannot
    import from a notebook: for experiments, install the plant as a plug-in (entry-point group `setpoint.systems`).

    Returns:
        The same problem.

    Raises:
        InputError: the plant or the problem is invalid, or its name belongs to a built-in system or a plug-in.
    """
    plants.register(problem)
    return problem


@dataclass(frozen=True, repr=False)
class Simulation:
    """Simulated episodes of one problem. Arrays have a leading batch axis unless a single state was simulated.

    Attributes:
        problem: the simulated problem.
        batch: times (N+1,), states (B, N+1, n_x), applied and commanded controls (B, N, n_u), always with a batch axis.
        single: True if one state was given; the properties then have no batch axis.
        readable: True where every answer of the controller could be parsed, (B,).
        optimal: True where the controls are a certified optimum, (B,); None if no optimum was computed.
    """

    problem: Problem
    batch: Trajectory
    single: bool
    readable: Bool[np.ndarray, " B"]
    optimal: Bool[np.ndarray, " B"] | None = None

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values[0] if self.single else values)

    @property
    def times(self) -> Float[np.ndarray, "nodes"]:
        """Times of the grid nodes in seconds."""
        return self.batch.times

    @property
    def states(self) -> Float[np.ndarray, "*batch nodes n_x"]:
        """States at the grid nodes, in SI units."""
        return self._shaped(self.batch.states)

    @property
    def controls(self) -> Float[np.ndarray, "*batch steps n_u"]:
        """Applied controls, saturated to the bounds, in SI units."""
        return self._shaped(self.batch.controls)

    @property
    def cost(self) -> Float[np.ndarray, "*batch"]:
        """Cost J of the applied controls."""
        return self._shaped(self.problem.cost(self.batch.states, self.batch.controls))

    @property
    def final_error(self) -> Float[np.ndarray, "*batch"]:
        """Distance of the final state from the target (L2 norm)."""
        return self._shaped(metrics.final_error(self.problem, self.batch))

    @property
    def success(self) -> Bool[np.ndarray, "*batch"]:
        """True where the final state is within 5 % of the initial set's half-width and no bound was violated."""
        error = metrics.normalised_error(self.problem, self.batch)
        violations = metrics.violations(self.problem, self.batch)
        return self._shaped(metrics.success(error, violations, self.readable))

    @property
    def certified(self) -> Bool[np.ndarray, "*batch"] | None:
        """True where the controls are a certified optimum; None if no optimum was computed."""
        return None if self.optimal is None else self._shaped(self.optimal)

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per episode and grid node; the last node has no controls."""
        plant = self.problem.plant
        states, controls = self.batch.states, self.batch.controls
        padded = np.concatenate([controls, np.full((len(states), 1, plant.n_u), np.nan)], axis=1)
        columns: dict[str, Any] = {
            "episode": np.repeat(np.arange(len(states)), len(self.times)),
            "time_s": np.tile(self.times, len(states)),
        }
        columns |= {signal.name: states[..., k].ravel() for k, signal in enumerate(plant.states)}
        columns |= {signal.name: padded[..., k].ravel() for k, signal in enumerate(plant.controls)}
        return require_pandas().DataFrame(columns)

    def plot(self) -> "Figure":
        """Draw states, controls and their bounds over time."""
        from setpoint.reports.figures.episodes import simulation_figure

        return simulation_figure(self.problem.plant, self.batch)

    def _table(self) -> tuple[str, tuple[str, ...], list[tuple[object, ...]]]:
        """Title, header and one row per episode."""
        columns = {"cost J": self.cost, "final error": self.final_error, "success": self.success}
        if self.certified is not None:
            columns["certified"] = self.certified
        rows = zip(*(np.atleast_1d(column).tolist() for column in columns.values()), strict=True)
        title = f"{self.problem.name}: {len(self.times) - 1} steps"
        return title, ("episode", *columns), [(k, *row) for k, row in enumerate(rows)]

    def __repr__(self) -> str:
        """Return one line per episode."""
        title, header, rows = self._table()
        return "\n".join([title, text_table(header, rows)])

    def _repr_html_(self) -> str:
        return html_table(*self._table())


def simulate(
    problem: Problem | str,
    x0: ArrayLike,
    controls: ArrayLike | Controller,
    *,
    replan_every: int | None = None,
    disturbance: Disturbance = NO_DISTURBANCE,
) -> Simulation:
    """Simulate from `x0` with given controls or a controller.

    Args:
        problem: a problem, or the name of its system.
        x0: initial states, (n_x,) or (B, n_x), SI units.
        controls: (N, n_u) for all episodes or (B, N, n_u), SI units, saturated to the bounds; or (N,) if the plant has
            one control; or a controller. N is the number of steps of the horizon.
        replan_every: replanning interval of a controller in steps; None for one plan over the horizon (open loop).
        disturbance: noise, delay and plant mismatch, which the controller does not model.

    Raises:
        InputError: an argument has the wrong shape or is not finite.
    """
    posed = as_problem(problem)
    states, single = posed.as_states(x0, "x0")
    require_instance(disturbance, Disturbance, "disturbance")
    if _is_controller(controls):
        require_controller(controls)
        require_control_of(controls, posed)
        interval = require_interval(posed, replan_every)
        found = run_controller(posed, controls, states, interval, disturbance)
        return Simulation(posed, found.trajectory, single, found.plans_parsed == found.plans)
    if replan_every is not None or disturbance.name:
        raise InputError(
            "replan_every and disturbance need a controller. Pass one as `controls`, or drop these arguments."
        )
    moves = _moves(posed, controls, len(states))
    return Simulation(posed, simulate_plant(posed.plant, states, moves), single, np.ones(len(states), dtype=bool))


def _is_controller(value: object) -> TypeGuard[Controller]:
    return hasattr(value, "plan")


def as_problem(problem: Problem | str) -> Problem:
    """Return the problem itself, or the one of the system with this name.

    Raises:
        InputError: it is neither a problem nor the name of a system.
    """
    if isinstance(problem, str):
        return problems.get(problem)
    if not isinstance(problem, Problem):
        raise InputError(f"problem must be a Problem or the name of a system, got {shown(problem)}.")
    return problem


def require_controller(controller: Any) -> None:
    """Check that `controller` is a controller.

    Raises:
        InputError: it has no name or no method `plan`.
    """
    if isinstance(controller, type | PathLike) or not isinstance(getattr(controller, "name", None), str):
        raise InputError(
            "a controller must be an object with a text attribute `name` and a method plan(t, x, steps), such as "
            f"ClippedLqr(problem), got {shown(controller)}.{_controller_remedy(controller)}"
        )
    if not callable(getattr(controller, "plan", None)):
        raise InputError(f"controller {controller.name!r} has no method plan(t, x, steps).")


def _controller_remedy(found: Any) -> str:
    if isinstance(found, str | PathLike):
        return " A trained adapter is loaded by load_policy(path)."
    return f" Make an object of it: {found.__name__}(problem)." if isinstance(found, type) else ""


def require_control_of(controller: Controller, problem: Problem) -> None:
    """Check that `controller` is not the controller of another problem.

    Raises:
        InputError: it is.
    """
    own = getattr(controller, "problem", None)
    if isinstance(own, Problem) and own.plant != problem.plant:
        raise InputError(f"controller {controller.name!r} controls {own.name}, not {problem.name}. Make one for it.")


def require_interval(problem: Problem, replan_every: int | None, name: str = "replan_every") -> int:
    """Return the replanning interval in steps; 0 for open loop.

    Args:
        name: name of the argument in the error message.

    Raises:
        InputError: it is longer than the horizon, or not a positive integer.
    """
    if replan_every is None:
        return 0
    if isinstance(replan_every, bool) or not isinstance(replan_every, int) or not 1 <= replan_every <= problem.steps:
        raise InputError(f"{name} must be 1 to {problem.steps} steps, got {shown(replan_every)}.")
    return replan_every


def optimal(problem: Problem | str, x0: ArrayLike) -> Simulation:
    """Compute and simulate the certified optimal control from `x0`, with one move per step.

    Args:
        problem: a problem, or the name of its system.
        x0: initial states, (n_x,) or (B, n_x), SI units.

    Returns:
        The episodes. `certified` is True where an optimum was found and certified by its optimality conditions; the
        other episodes have the controls of the clipped LQR.

    Raises:
        InputError: `x0` has the wrong shape, or is a single state without a certified optimum.
    """
    from setpoint.controllers.optimal import OptimalController

    posed = as_problem(problem)
    states, single = posed.as_states(x0, "x0")
    if not len(states):
        raise InputError("x0 holds no state. Pass at least one.")
    controller = OptimalController(posed)
    certified = np.array([controller.find(state) is not None for state in states])
    if single and not certified[0]:
        raise InputError(
            f"no certified optimum of {posed.name} from x0 = {states[0].tolist()}: probably no control satisfies the "
            "bounds. Choose x0 in the initial set."
        )
    found = run_controller(posed, controller, states, 0)
    return Simulation(posed, found.trajectory, single, found.plans_parsed == found.plans, certified)


def plot_system(problem: Problem, path: Path) -> None:
    """Save a phase portrait with optimal trajectories from a few test cases.

    Raises:
        InputError: no test case has a certified optimum.
        InputError: vl-convert is not installed.
        OSError: the file cannot be written.
    """
    from setpoint.controllers.optimal import OptimalController
    from setpoint.evaluation.optima import solve_optima
    from setpoint.reports.figures.system import system_figure

    optimum = OptimalController(problem)
    unblocked = MoveBlocking.none(problem.steps)
    states = solve_optima(problem, suite_states(problem, "nominal", PLOTTED_CASES), unblocked, optimum).states
    plan = optimum.plan(0.0, states, problem.steps)
    system_figure(problem, simulate_plant(problem.plant, states, plan.controls)).save(path)


def _moves(problem: Problem, controls: Any, count: int) -> Float[np.ndarray, "B N n_u"]:
    n_u = problem.plant.n_u
    expected = f"of shape (N, {n_u}) or ({count}, N, {n_u}){' or (N,)' if n_u == 1 else ''}"
    try:
        moves = np.asarray(controls, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"controls must be numbers {expected}, or a controller.") from error
    if moves.ndim == 1 and n_u == 1:
        moves = moves[:, None]
    if moves.ndim not in {2, 3} or moves.shape[-1] != n_u or (moves.ndim == 3 and len(moves) != count):
        raise InputError(f"controls must be {expected}, or a controller, got shape {moves.shape}.")
    if moves.shape[-2] != problem.steps:
        raise InputError(
            f"controls must cover the horizon of {problem.name}, N = {problem.steps} steps, got {moves.shape[-2]}."
        )
    if not np.isfinite(moves).all():
        raise InputError("controls must be finite, got NaN or infinite values.")
    return np.broadcast_to(moves, (count, *moves.shape[-2:]))
