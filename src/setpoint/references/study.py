"""Baselines of a suite: performance of the optimum, clipped LQR, zero control and cloned controllers on every system.

They put the result of an LLM into perspective. The study also measures the effect of text precision: how the optimum
performs with rounded controls, a rounded initial state, or small errors of every control.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint import metrics, problems
from setpoint.controllers import ClippedLqr, Controller, ZeroControl
from setpoint.controllers.agreement import Agreement, agreement
from setpoint.controllers.cloned import CLONES, clone
from setpoint.controllers.mpc import ModelPredictive
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.controllers.tracking import TrackingLqr
from setpoint.modes import CLOSED_LOOP_REPLANNING
from setpoint.problems import Problem, TestCases, require_disjoint, suite_cases
from setpoint.problems.suites import MIN_DISTANCE
from setpoint.simulation import NOISE, Disturbance, run_controller, simulate
from setpoint.trajectory import Trajectory

NOISY = ", closed loop with noise"
"""Suffix of the names of rows under noise."""
DISTURBED_CASES = 50
"""Number of leading cases per plant under noise; few, because MPC solves a full problem at every replanning step."""
FIXED_ERROR = 0.1
"""‖x_N − x*‖₂ below which published tables count an episode as a success; not comparable across plants."""
_ACTIVE = 1e-6
"""Distance to a bound, as a share of its range, up to which the bound counts as active."""
_CONTROL_NOISE = 0.01
_COMPARED_CASES = 20
"""Number of leading cases that are also solved by each solver alone."""
_STATE_DECIMALS = 2


@dataclass
class SystemReferences:
    """Baselines of one system.

    Attributes:
        system: full name.
        cases: number of cases with a certified optimum.
        rejected: number of cases without one.
        optimum: label of the solution, see `Problem.optimum_label`.
        certificate: worst residuals over the cases, and the number of cases per solver.
        agreement: agreement of the solvers on the leading cases.
        ms_per_case: CPU milliseconds per certified optimum.
        active_states, active_controls: share of cases with an active bound at the optimum.
        rows: controller -> metric -> value.
    """

    system: str
    cases: int
    rejected: int
    optimum: str
    certificate: dict[str, Any]
    agreement: Agreement
    ms_per_case: float
    active_states: float
    active_controls: float
    rows: dict[str, dict[str, float]] = field(default_factory=dict)


def reference_study(
    suite: str, system: str, cases: int, *, demonstrations: int = 0, disturbed: bool = False
) -> SystemReferences:
    """Solve the cases of one system and run every baseline controller on them.

    If `demonstrations` is positive, controllers are also cloned from the optima of that many separate states.
    `disturbed` adds the closed loop under noise, with tracking LQR and model predictive control.

    Raises:
        InputError: no such suite or system, or a package for cloning is missing.
    """
    groups = [_SolvedCases.of(group) for group in suite_cases(suite, system, cases)]
    problem = problems.get(system)
    clones = _clone_all(problem, demonstrations, groups)
    rows: dict[str, list[dict[str, np.ndarray]]] = {}
    for group in groups:
        if not len(group.states):
            continue
        measured = [(name, _measure(group, trajectory)) for name, trajectory in _episodes(group, clones)]
        if disturbed:
            first = group.first(DISTURBED_CASES)
            measured += [(name, _measure(first, trajectory)) for name, trajectory in _disturbed(first, clones)]
        for name, values in measured:
            rows.setdefault(name, []).append(values)
    optima = [optimum for group in groups for optimum in group.optima]
    return SystemReferences(
        system=problem.name,
        cases=len(optima),
        rejected=sum(group.rejected for group in groups),
        optimum=problem.optimum_label,
        certificate=_worst_certificate(optima),
        agreement=agreement(groups[0].problem, groups[0].states[:_COMPARED_CASES]),
        ms_per_case=1e3 * sum(group.cpu_s for group in groups) / max(1, len(optima)),
        active_states=_share([group.active()[0] for group in groups]),
        active_controls=_share([group.active()[1] for group in groups]),
        rows={name: _summarise(parts) for name, parts in rows.items()},
    )


@dataclass(frozen=True)
class _SolvedCases:
    """Cases of one plant with their optima; states without one are excluded."""

    problem: Problem
    states: Float[np.ndarray, "B n_x"]
    optima: tuple[Optimum, ...]
    rejected: int
    cpu_s: float

    @classmethod
    def of(cls, group: TestCases) -> "_SolvedCases":
        optimizer, started = TrajectoryOptimizer(group.problem), process_time()
        pairs = [(x, optimum) for x in group.states if (optimum := optimizer.solve(x)) is not None]
        states = np.array([x for x, _ in pairs]).reshape(-1, group.problem.plant.n_x)
        optima = tuple(optimum for _, optimum in pairs)
        return cls(group.problem, states, optima, len(group.states) - len(pairs), process_time() - started)

    def first(self, count: int) -> "_SolvedCases":
        """Return the leading `count` cases."""
        return replace(self, states=self.states[:count], optima=self.optima[:count])

    @property
    def controls(self) -> Float[np.ndarray, "B N n_u"]:
        return np.array([optimum.controls for optimum in self.optima])

    @property
    def costs(self) -> Float[np.ndarray, " B"]:
        return np.array([optimum.cost for optimum in self.optima])

    def active(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, per case, whether a state bound and whether a control bound is active."""
        if not self.optima:
            return np.zeros(0), np.zeros(0)
        plant = self.problem.plant
        states = simulate(plant, self.states, self.controls).states[:, 1:]  # x_0 is given, not optimised
        return (
            _touches(states, plant.state_lower, plant.state_upper),
            _touches(self.controls, plant.control_lower, plant.control_upper),
        )


def _touches(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    distance = np.minimum(values - lower, upper - values) / (upper - lower)
    return np.asarray((distance <= _ACTIVE).any(axis=(1, 2)))


def _episodes(group: _SolvedCases, clones: Sequence[Controller]) -> "list[tuple[str, Trajectory]]":
    problem, x0, controls = group.problem, group.states, group.controls
    noise = Disturbance(input_noise=_CONTROL_NOISE)
    found = [
        ("optimum", simulate(problem.plant, x0, controls)),
        ("zero", run_controller(problem, ZeroControl(problem), x0).trajectory),
        ("lqr", run_controller(problem, ClippedLqr(problem), x0).trajectory),
        ("optimum, controls off by 1 %", run_controller(problem, _Fixed(controls), x0, 0, noise).trajectory),
        *(
            (f"optimum, controls to {decimals} decimals", simulate(problem.plant, x0, np.round(controls, decimals)))
            for decimals in (2, 3)
        ),
        ("optimum of the state to 2 decimals", _optimum_of_rounded(group)),
    ]
    found += [(each.name, run_controller(problem, each, x0).trajectory) for each in clones]
    return found


def _disturbed(group: _SolvedCases, clones: Sequence[Controller]) -> list[tuple[str, Trajectory]]:
    problem = group.problem
    makers: list[Callable[[Problem], Controller]] = [ClippedLqr, TrackingLqr, ModelPredictive]
    controllers = [*(make(problem) for make in makers), *clones]
    return [
        (f"{each.name}{NOISY}", run_controller(problem, each, group.states, CLOSED_LOOP_REPLANNING, NOISE).trajectory)
        for each in controllers
    ]


class _Fixed:
    """Commands fixed plans, independent of the state."""

    name = "fixed"

    def __init__(self, controls: np.ndarray) -> None:
        self._controls = controls

    def plan(self, t: float, x: np.ndarray, steps: int) -> Any:
        from setpoint.controllers import ControlPlan

        return ControlPlan.of(self._controls)


def _optimum_of_rounded(group: _SolvedCases) -> Trajectory:
    """Simulate the optimal plan of the rounded state from the exact state; zero control if there is none."""
    problem, optimizer = group.problem, TrajectoryOptimizer(group.problem)
    zero = np.zeros((problem.steps, problem.plant.n_u))
    plans = [optimizer.solve(x) for x in np.round(group.states, _STATE_DECIMALS)]
    controls = np.array([zero if plan is None else plan.controls for plan in plans])
    return simulate(problem.plant, group.states, controls)


def _clone_all(problem: Problem, count: int, groups: Sequence[_SolvedCases]) -> list[Controller]:
    """Clone controllers from up to `count` optima of separate states, with nominal parameters."""
    if not count:
        return []
    states = problem.initial_states(count, "clones")
    # Drop demonstrations too close to a test state, so that no clone is tested on its training data.
    for group in groups:
        far = np.array([np.abs((group.states - x) / np.array(problem.half_width)).max(axis=-1).min() for x in states])
        states = states[far > MIN_DISTANCE]
        require_disjoint(problem, states, group.states)
    solved = _SolvedCases.of(TestCases(problem, states))
    return [clone(kind, problem, solved.states, solved.controls) for kind in CLONES]


def _measure(group: _SolvedCases, trajectory: Trajectory) -> dict[str, np.ndarray]:
    problem = group.problem
    error, violation = metrics.normalised_error(problem, trajectory), metrics.violations(problem, trajectory)
    cost = problem.cost(trajectory.states, trajectory.controls)
    read = np.ones(len(error), dtype=bool)
    return {
        "final_error": metrics.final_error(problem, trajectory),
        "normalised_error": error,
        "regret": metrics.regret(cost, group.costs),
        "violates": violation.max(axis=-1) > metrics.VIOLATION_TOLERANCE,
        "success": metrics.success(error, violation, read),
        "success_loose": metrics.success(error, violation, read, metrics.LOOSE_SUCCESS_ERROR),
    }


def _summarise(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, float]:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        "final_error_median": float(np.median(columns["final_error"])),
        "normalised_error_median": float(np.median(columns["normalised_error"])),
        "within_fixed_error": float((columns["final_error"] < FIXED_ERROR).mean()),
        "regret_median": float(np.median(columns["regret"])),
        "regret_mean": float(np.mean(columns["regret"])),
        "violation_rate": float(columns["violates"].mean()),
        "success_rate": float(columns["success"].mean()),
        "success_loose_rate": float(columns["success_loose"].mean()),
    }


def _worst_certificate(optima: Sequence[Optimum]) -> dict[str, Any]:
    if not optima:
        return {}
    worst = optima[0].certificate
    for optimum in optima[1:]:
        worst = worst.worst(optimum.certificate)
    solvers = [optimum.certificate.solver for optimum in optima]
    return {
        "residual": worst.residual,
        "duality_gap": worst.duality_gap,
        "solvers": {name: solvers.count(name) for name in sorted(set(solvers))},
    }


def _share(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate(parts)
    return float(values.mean()) if len(values) else float("nan")
