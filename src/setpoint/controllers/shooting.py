"""Constrained optimal control by multiple shooting on the simulator's own integrator.

The decision variables are w = [x_0, u_0, x_1, u_1, …, x_N], one node per grid step; a held move is a state of the
inner steps of its block, u_{k+1} = u_k. This order of variables and constraints is the one that fatrop, a
structure-exploiting interior-point solver, recognises; IPOPT takes over where fatrop gives up. Either way the point is
certified by its own KKT residual.

One node per step, rather than per move, keeps the solvers' iterates inside the state bounds: shooting over a long block
of an unstable plant can overflow, and fatrop does not come back from a NaN.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import casadi
import numpy as np
from jaxtyping import Float

from setpoint.controllers.certificate import Certificate
from setpoint.problems import MoveBlocking, Problem

MAX_ITERATIONS = 300
"""Interior-point iterations before a solver gives up; well-posed problems need about ten."""

_QUIET = {"print_time": False, "show_eval_warnings": False}


def symbols(names: Iterable[str]) -> dict[str, Any]:
    """A CasADi symbol for each name, to stand for a parameter of a problem."""
    return {name: casadi.SX.sym(name) for name in names}


@dataclass(frozen=True)
class Optimum:
    """A certified optimum.

    Attributes:
        moves: (M, n_u).
        controls: the moves on the plant's grid, (N, n_u).
        cost: J.
        certificate: its optimality conditions.
    """

    moves: Float[np.ndarray, "M n_u"]
    controls: Float[np.ndarray, "N n_u"]
    cost: float
    certificate: Certificate


class TrajectoryOptimizer:
    """Solves one problem for many initial states.

    `parameters` are CasADi symbols that occur in the problem (coefficients, weights, grid interval); their values
    are given with every solve, so that one optimizer serves a whole family of plants.
    """

    def __init__(
        self,
        problem: Problem,
        blocking: MoveBlocking | None = None,
        parameters: Sequence[casadi.SX] = (),
        *,
        solvers: tuple[str, ...] = ("fatrop", "ipopt"),
        max_iterations: int = MAX_ITERATIONS,
    ) -> None:
        """Build the nonlinear program; `solvers` are set up when they are first needed and tried in turn."""
        self.problem = problem
        self.blocking = blocking or MoveBlocking.none(problem.steps)
        self._program = _Program(problem, self.blocking, parameters)
        self._order = solvers
        self._max_iterations = max_iterations
        self._solvers: dict[str, Any] = {}

    def solve(
        self,
        x0: Float[np.ndarray, " n_x"],
        values: Sequence[float] = (),
        control_bounds: tuple[np.ndarray, np.ndarray] | None = None,
        state_bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Optimum | None:
        """The certified optimum from `x0`, or None where no solver finds a point that can be certified.

        `values` are those of the parameters; the bounds default to the plant's.
        """
        plant = self.problem.plant
        u_bounds = control_bounds or (plant.control_lower, plant.control_upper)
        x_bounds = state_bounds or (plant.state_lower, plant.state_upper)
        bounds = self._program.bounds(u_bounds, x_bounds)
        guess = self._program.guess(x0)
        parameters = np.concatenate([x0, np.asarray(values, dtype=float)])
        for name in self._order:
            found = self._solver(name)(x0=guess, p=parameters, **bounds)
            certificate = self._program.certify(name, found, parameters, bounds)
            if certificate.holds:
                # The solvers relax bounds by 1e-8 of their size; the plant would saturate what is beyond.
                moves = np.clip(self._program.moves(np.asarray(found["x"]).ravel()), *u_bounds)
                return Optimum(moves, self.blocking.expand(moves), float(found["f"]), certificate)
        return None

    def _solver(self, name: str) -> Any:
        if name not in self._solvers:
            options: dict[str, Any] = {
                name: {"print_level": 0, "tol": 1e-10, "max_iter": self._max_iterations},
                **_QUIET,
            }
            if name == "fatrop":
                options |= {"structure_detection": "auto", "equality": self._program.equality}
            else:
                options[name]["sb"] = "yes"
            self._solvers[name] = casadi.nlpsol(name, name, self._program.nlp, options)
        return self._solvers[name]


class _Program:
    """The nonlinear program of a problem: symbols, layout of variables, bounds, and the KKT residual."""

    def __init__(self, problem: Problem, blocking: MoveBlocking, parameters: Sequence[casadi.SX]) -> None:
        self._n_x, self._n_u = problem.plant.n_x, problem.plant.n_u
        self._steps, self._target = problem.steps, np.array(problem.target)
        self._starts = np.cumsum((0, *blocking.lengths[:-1]))
        x0 = casadi.SX.sym("x0", self._n_x)
        nodes = [casadi.SX.sym(f"x_{k}", self._n_x) for k in range(problem.steps + 1)]
        inputs = [casadi.SX.sym(f"u_{k}", self._n_u) for k in range(problem.steps)]
        cost: Any = 0
        gaps: list[casadi.SX] = []
        for k, (node, following) in enumerate(pairwise(nodes)):
            x, u = casadi.vertsplit(node), casadi.vertsplit(inputs[k])
            cost += problem.state_cost(x) + problem.control_cost(u)
            gaps.append(following - casadi.vertcat(*problem.plant.step_components(0.0, x, u, casadi)))
            if k + 1 < problem.steps and k + 1 not in self._starts:
                gaps.append(inputs[k + 1] - inputs[k])
            if k == 0:
                gaps.append(node - x0)
        cost += problem.terminal_weight * problem.state_cost(casadi.vertsplit(nodes[-1]))
        w = casadi.vertcat(*chain.from_iterable(zip(nodes, inputs, strict=False)), nodes[-1])
        p = casadi.vertcat(x0, *parameters)
        g = casadi.vertcat(*gaps)
        self.nlp = {"x": w, "p": p, "f": cost, "g": g}
        self.equality = [True] * g.numel()
        multipliers = casadi.SX.sym("lam_g", g.numel())
        gradient = casadi.gradient(cost, w)
        lagrangian = gradient + casadi.jtimes(g, w, multipliers, True)
        self._residual = casadi.Function("residual", [w, p, multipliers], [lagrangian, gradient, g])

    def bounds(
        self, u_bounds: tuple[np.ndarray, np.ndarray], x_bounds: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Bounds of the variables: moves where they begin, and states at every step but the given first one."""
        found: dict[str, np.ndarray] = {"lbg": np.zeros(1), "ubg": np.zeros(1)}
        for side, (letter, infinity) in enumerate((("l", -np.inf), ("u", np.inf))):
            nodes = np.full((self._steps + 1, self._n_x), infinity)
            nodes[1:] = x_bounds[side]
            inputs = np.full((self._steps, self._n_u), infinity)
            inputs[self._starts] = u_bounds[side]
            found[f"{letter}bx"] = self._interleave(nodes, inputs)
        return found

    def guess(self, x0: np.ndarray) -> np.ndarray:
        """States on a straight line from `x0` to the target, zero controls."""
        covered = np.linspace(0, 1, self._steps + 1)[:, None]
        return self._interleave(x0 + covered * (self._target - x0), np.zeros((self._steps, self._n_u)))

    def _interleave(self, nodes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([np.hstack([nodes[:-1], inputs]).ravel(), nodes[-1]])

    def moves(self, w: np.ndarray) -> np.ndarray:
        """The moves (M, n_u) inside a vector of decision variables."""
        pairs = w[: -self._n_x].reshape(self._steps, self._n_x + self._n_u)
        return pairs[self._starts, self._n_x :]

    def certify(self, solver: str, found: Any, p: np.ndarray, bounds: dict[str, np.ndarray]) -> Certificate:
        """Measure the KKT conditions at the point that a solver returned."""
        w, lam_x, lam_g = (np.asarray(found[name]).ravel() for name in ("x", "lam_x", "lam_g"))
        lagrangian, gradient, gaps = (np.asarray(part).ravel() for part in self._residual(w, p, lam_g))
        if not all(np.isfinite(part).all() for part in (w, lam_x, lagrangian, gaps)):
            return Certificate(solver, np.inf, np.inf, np.inf, np.inf)
        scale = max(1.0, float(np.abs(gradient).max()))
        beyond = np.maximum(bounds["lbx"] - w, w - bounds["ubx"])
        return Certificate(
            solver=solver,
            stationarity=float(np.abs(lagrangian + lam_x).max()) / scale,
            gap=float(np.abs(gaps).max()),
            violation=max(float(beyond.max()), 0.0),
            complementarity=_complementarity(lam_x, w, bounds["lbx"], bounds["ubx"]) / scale,
        )


def _complementarity(multipliers: np.ndarray, values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Largest |multiplier × slack|: a positive multiplier belongs to the upper bound, a negative one to the lower.

    A multiplier of a bound that does not exist counts in full.
    """
    slack = np.abs(np.where(multipliers > 0, upper - values, values - lower))
    return float((np.abs(multipliers) * np.where(np.isfinite(slack), slack, 1.0)).max())
