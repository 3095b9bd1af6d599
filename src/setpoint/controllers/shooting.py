"""Constrained optimal control by direct multiple shooting with the simulator's own integrator.

The decision variables are w = [x_0, u_0, x_1, u_1, …, x_N], one node per grid step. Within a held block the controls
are linked by u_{k+1} = u_k. fatrop, a structure-exploiting interior-point solver, detects this order of variables and
constraints; IPOPT is tried if fatrop fails. Every solution is certified by its own KKT residual, whichever solver found
it.

A problem with linear dynamics is a convex quadratic program and goes to PIQP first. Its certificate includes the
duality gap, which the same multipliers prove. A problem with known local optima is solved from several initial guesses,
and the cheapest certified point is kept. It is the best known solution, not necessarily the global optimum.

One node per step, rather than one per move, keeps the iterates inside the state bounds: shooting over a long block of
an unstable plant can overflow, and fatrop hangs on NaN. fatrop is therefore skipped for third-party plants whose
dynamics are undefined somewhere within the bounds, for example a square root that becomes negative.

Sources: Bock & Plitt, A multiple shooting algorithm for direct solution of optimal control problems, IFAC 1984;
Vanroye et al., FATROP, IROS 2023; Wächter & Biegler, Math. Programming 106, 2006 (IPOPT); Schwan et al., PIQP, CDC
2023.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import Any

import casadi
import numpy as np
from jaxtyping import Float

from setpoint.controllers.certificate import Certificate
from setpoint.controllers.riccati import solve_riccati
from setpoint.plants import require_symbolic
from setpoint.problems import MoveBlocking, Problem
from setpoint.seeding import generator

MAX_ITERATIONS = 300
"""Limit of interior-point iterations; well-posed problems need about ten."""

QUADRATIC = "piqp"
NONLINEAR = ("fatrop", "ipopt")
"""Solvers bundled with CasADi, in the order in which they are tried."""

_QUADRATIC_TOLERANCE = 1e-11
_NONLINEAR_TOLERANCE = 1e-10
_WARM_START = {
    "mu_init": 0.002,
    "mu_linear_decrease_factor": 0.02,
    "mu_superlinear_decrease_power": 1.95,
    "bound_push": 1e-3,
    "bound_frac": 1e-3,
}
"""Options of fatrop for guesses near the optimum: less push off the bounds, a lower initial barrier parameter and a
faster decrease. They save 10–25 % of the iterations on most plants, but cost some from distant guesses."""
_ARRIVED = 0.1
"""Final distance from the target, as a share of the half width, up to which the regulator counts as successful."""
_RELAXATION = 1e-8
"""`bound_relax_factor` of IPOPT and fatrop (Wächter & Biegler 2006, §3.5)."""
_FARTHEST = 1.0
"""Distance of a state from the centre of its bounds, in ranges, beyond which fatrop is skipped; see `_solvers_near`."""
_GUESSED_MOVES = 5
_PROBES = 512
"""Number of points within the bounds at which third-party dynamics are evaluated; half of them are corners."""
_QUIET = {"print_time": False, "show_eval_warnings": False, "calc_lam_p": False}


def symbols(names: Iterable[str]) -> dict[str, Any]:
    """Return a CasADi symbol per name, for use as a parameter of a problem."""
    return {name: casadi.SX.sym(name) for name in names}


def solvers_for(problem: Problem) -> tuple[str, ...]:
    """Return the solvers for a problem, in the order in which they are tried."""
    quadratic = problem.plant.linear and casadi.has_conic(QUADRATIC)
    return (QUADRATIC, *NONLINEAR) if quadratic else NONLINEAR


def tightened(bounds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tighten bounds for fatrop and IPOPT, which relax them by 1e-8 max(1, |bound|) internally."""
    lower, upper = (bounds[name] for name in ("lbx", "ubx"))
    inward = (_RELAXATION * np.where(np.isfinite(side), np.maximum(1.0, np.abs(side)), 0.0) for side in (lower, upper))
    return {**bounds, "lbx": lower + next(inward), "ubx": upper - next(inward)}


@dataclass(frozen=True)
class Optimum:
    """A certified optimum.

    Attributes:
        moves: optimal moves, (M, n_u).
        controls: the moves expanded to the plant's grid, (N, n_u).
        cost: J.
        certificate: residuals of the optimality conditions.
    """

    moves: Float[np.ndarray, "M n_u"]
    controls: Float[np.ndarray, "N n_u"]
    cost: float
    certificate: Certificate


class TrajectoryOptimizer:
    """Solves one problem for many initial states.

    `parameters` are CasADi symbols that occur in the problem (coefficients, weights, grid interval). Each solve sets
    their values, so that one optimizer serves a whole family of plants.
    """

    def __init__(
        self,
        problem: Problem,
        blocking: MoveBlocking | None = None,
        parameters: Sequence[casadi.SX] = (),
        *,
        solvers: tuple[str, ...] | None = None,
        max_iterations: int = MAX_ITERATIONS,
        regulated: bool = True,
    ) -> None:
        """Build the program. `solvers` (default: `solvers_for`) are created on first use and tried in order.

        `regulated` allows the roll-out of the clipped LQR as initial guess, see `_Program.guess`.

        Raises:
            InputError: the moves do not cover the horizon; the problem is inconsistent; the dynamics do not accept
                symbols, or are not linear despite `linear = True`.
        """
        problem.require_sound()
        require_symbolic(problem.plant)
        self.problem = problem
        self.blocking = blocking or MoveBlocking.none(problem.steps)
        self.blocking.require_horizon(problem.name, problem.steps)
        self._program = _Program(problem, self.blocking, parameters, regulated=regulated)
        plant = problem.plant
        self._u_bounds = plant.control_lower, plant.control_upper
        self._x_bounds = plant.state_lower, plant.state_upper
        self._bounds = self._program.bounds(self._u_bounds, self._x_bounds)
        self._tightened = tightened(self._bounds)
        self._order = solvers_for(problem) if solvers is None else solvers
        self._defined = _always_defined if problem.built_in else _probe(problem, parameters)
        self._max_iterations = max_iterations
        self._solvers: dict[tuple[str, bool], _Buffered] = {}

    def solve(
        self,
        x0: Float[np.ndarray, " n_x"],
        values: Sequence[float] = (),
        control_bounds: tuple[np.ndarray, np.ndarray] | None = None,
        state_bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Optimum | None:
        """Return the certified optimum from `x0`, or None if no solver finds a point that can be certified.

        `values` are the values of the parameters; the bounds default to those of the plant.
        """
        default_bounds = control_bounds is None and state_bounds is None
        u_bounds, x_bounds = control_bounds or self._u_bounds, state_bounds or self._x_bounds
        if not np.isfinite(x0).all():
            return None
        bounds = self._bounds if default_bounds else self._program.bounds(u_bounds, x_bounds)
        parameters = np.concatenate([x0, np.asarray(values, dtype=float)])
        order, best = self._solvers_near(x0, x_bounds, tuple(values)), None
        for start in range(self.problem.starts):
            guess, near = self._program.guess(x0, start, u_bounds, x_bounds)
            found = self._solve_from(order, guess, parameters, bounds, u_bounds, near=near)
            if found is not None and (best is None or found.cost < best.cost):
                best = found
        return best

    def _solvers_near(
        self, x0: np.ndarray, x_bounds: tuple[np.ndarray, np.ndarray], values: tuple[float, ...]
    ) -> tuple[str, ...]:
        """Select the solvers to try from `x0`, without fatrop where the dynamics may overflow or are undefined.

        They overflow far outside the bounds, after an episode has diverged.
        """
        ranges = np.abs(x0 - (x_bounds[0] + x_bounds[1]) / 2) / (x_bounds[1] - x_bounds[0])
        if (ranges <= _FARTHEST).all() and self._defined(values):
            return self._order
        return tuple(name for name in self._order if name != "fatrop")

    def _solve_from(
        self,
        order: tuple[str, ...],
        guess: np.ndarray,
        parameters: np.ndarray,
        bounds: dict[str, np.ndarray],
        u_bounds: tuple[np.ndarray, np.ndarray],
        *,
        near: bool,
    ) -> Optimum | None:
        """Return the first point that can be certified, in solver order; `near` marks a guess near the optimum."""
        for name in order:
            given = bounds if name == QUADRATIC else self._tightened if bounds is self._bounds else tightened(bounds)
            found = self._solver(name, near=near and name == "fatrop")(x0=guess, p=parameters, **given)
            certificate = self._program.certify(name, found, parameters, bounds)
            if certificate.holds:
                # A certified point exceeds a bound only by rounding, and the plant would saturate that.
                moves = np.clip(self._program.moves(found["x"]), *u_bounds)
                return Optimum(moves, self.blocking.expand(moves), found["f"].item(), certificate)
        return None

    def _solver(self, name: str, *, near: bool = False) -> "_Buffered":
        if (name, near) not in self._solvers:
            made = self._quadratic_solver(name) if name == QUADRATIC else self._nonlinear_solver(name, near=near)
            self._solvers[name, near] = _Buffered(made)
        return self._solvers[name, near]

    def _quadratic_solver(self, name: str) -> Any:
        gaps = ("eps_abs", "eps_rel", "eps_duality_gap_abs", "eps_duality_gap_rel")
        options: dict[str, Any] = {"print_time": False, "error_on_fail": False}
        options[name] = dict.fromkeys(gaps, _QUADRATIC_TOLERANCE)
        return casadi.qpsol(name, name, self._program.nlp, options)

    def _nonlinear_solver(self, name: str, *, near: bool) -> Any:
        options: dict[str, Any] = {
            name: {"print_level": 0, "tol": _NONLINEAR_TOLERANCE, "max_iter": self._max_iterations},
            **_QUIET,
        }
        if name == "fatrop":
            # fatrop must know which constraints are equalities before it gets their bounds.
            options |= {"structure_detection": "auto", "equality": self._program.equality}
            options[name] |= _WARM_START if near else {}
        else:
            options[name]["sb"] = "yes"  # no startup banner on stdout
        return casadi.nlpsol(name, name, self._program.nlp, options)


class _Buffered:
    """A CasADi function with preallocated arrays; an ordinary call spends much of a small solve on conversions."""

    def __init__(self, function: Any) -> None:
        self._inputs = {name: np.zeros(function.nnz_in(name)) for name in function.name_in()}
        self._outputs = {name: np.zeros(function.nnz_out(name)) for name in function.name_out()}
        self._buffer, self._evaluate = function.buffer()
        for index, array in enumerate(self._inputs.values()):
            self._buffer.set_arg(index, array.data)
        for index, array in enumerate(self._outputs.values()):
            self._buffer.set_res(index, array.data)

    def __call__(self, **values: np.ndarray) -> dict[str, np.ndarray]:
        """Evaluate: outputs by name as vectors, NaN if the evaluation failed; inputs keep their previous values."""
        for name, value in values.items():
            self._inputs[name][:] = value
        for array in self._outputs.values():
            array.fill(np.nan)
        self._evaluate()
        return {name: array.copy() for name, array in self._outputs.items()}


class _Program:
    """The nonlinear program of a problem: symbols, variable layout, bounds, and KKT residuals."""

    def __init__(
        self, problem: Problem, blocking: MoveBlocking, parameters: Sequence[casadi.SX], *, regulated: bool
    ) -> None:
        self._problem = problem
        self._n_x, self._n_u = problem.plant.n_x, problem.plant.n_u
        self._steps, self._target = problem.steps, np.array(problem.target)
        self._half_width = np.array(problem.half_width)
        self._starts = np.cumsum((0, *blocking.lengths[:-1]))
        self._block_start = np.repeat(self._starts, blocking.lengths)
        x0 = casadi.SX.sym("x0", self._n_x)
        nodes = [casadi.SX.sym(f"x_{k}", self._n_x) for k in range(problem.steps + 1)]
        inputs = [casadi.SX.sym(f"u_{k}", self._n_u) for k in range(problem.steps)]
        cost: Any = 0
        gaps: list[casadi.SX] = []
        for k, (node, following) in enumerate(pairwise(nodes)):
            x, u = casadi.vertsplit(node), casadi.vertsplit(inputs[k])
            cost += problem.state_cost(x) + problem.control_cost(u)
            gaps.append(following - casadi.vertcat(*problem.plant.step_components(0.0, x, u, casadi)))
            # The order that fatrop detects: dynamics to stage k + 1, then path constraints of stage k. Within a block
            # the control acts as a state with the dynamics u_{k+1} = u_k. The first state is constrained at stage 0.
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
        self._convex = problem.plant.linear
        if self._convex:
            # Q and R are diagonal, so the Hessian of the cost is, too: the duality gap needs no factorisation.
            diagonal = casadi.densify(casadi.diag(casadi.hessian(cost, w)[0]))
            self._curvature = _Buffered(casadi.Function("curvature", [p], [diagonal], ["p"], ["diagonal"]))
        multipliers = casadi.SX.sym("lam_g", g.numel())
        gradient = casadi.gradient(cost, w)
        lagrangian = gradient + casadi.jtimes(g, w, multipliers, True)  # ∇f + J' λ without forming J
        residual = [casadi.densify(part) for part in (lagrangian, gradient, g)]
        names = ["x", "p", "lam_g"], ["lagrangian", "gradient", "g"]
        self._residual = _Buffered(casadi.Function("residual", [w, p, multipliers], residual, *names))
        regulated = regulated and not (self._convex or problem.starts > 1 or parameters)
        self._regulated = _Buffered(_regulated_rollout(problem)) if regulated else None

    def bounds(
        self, u_bounds: tuple[np.ndarray, np.ndarray], x_bounds: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the bounds of the variables: of each move at its first step, and of every state except the first."""
        found: dict[str, np.ndarray] = {"lbg": np.zeros(1), "ubg": np.zeros(1)}
        for side, (letter, infinity) in enumerate((("l", -np.inf), ("u", np.inf))):
            nodes = np.full((self._steps + 1, self._n_x), infinity)
            nodes[1:] = x_bounds[side]
            # Only the first control of a block is bounded: redundant bounds leave the multipliers undetermined.
            inputs = np.full((self._steps, self._n_u), infinity)
            inputs[self._starts] = u_bounds[side]
            found[f"{letter}bx"] = self._interleave(nodes, inputs)
        return found

    def regulated(self, x0: np.ndarray) -> np.ndarray | None:
        """Roll out the clipped LQR from `x0`; None if it does not bring the plant near the target.

        As initial guess it saves 10–30 % of the iterations. A failed roll-out (for example, saturated on a saddle) may
        lie near a local optimum, so it is not used. Problems with several starts, convex ones and ones with symbolic
        parameters do not use roll-outs at all.
        """
        if self._regulated is None:
            return None
        found = self._regulated(x0=x0)["w"]
        left = np.abs(found[-self._n_x :] - self._target)
        return found if (left <= _ARRIVED * self._half_width).all() else None

    def guess(
        self,
        x0: np.ndarray,
        start: int = 0,
        u_bounds: tuple[np.ndarray, np.ndarray] | None = None,
        x_bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, bool]:
        """Return an initial guess and whether it is near the optimum.

        Guess 0 is the roll-out of `regulated`; failing that, states on the straight line from `x0` to the target with
        zero controls. Further guesses simulate a few random moves, which are the same for all states.
        """
        if start == 0 and (regulated := self.regulated(x0)) is not None:
            return regulated, True
        if start == 0 or u_bounds is None or x_bounds is None:
            covered = np.linspace(0, 1, self._steps + 1)[:, None]
            return self._interleave(x0 + covered * (self._target - x0), np.zeros((self._steps, self._n_u))), False
        rng = generator("multistart", self._problem.name, start)
        moves = rng.uniform(*u_bounds, (_GUESSED_MOVES, self._n_u))
        inputs = np.repeat(moves, -(-self._steps // _GUESSED_MOVES), axis=0)[: self._steps]  # ceil(N / moves) each
        nodes = [x0]
        for control in inputs:
            nodes.append(np.clip(self._problem.plant.step(0.0, nodes[-1], control), *x_bounds))
        return self._interleave(np.array(nodes), inputs), False

    def _interleave(self, nodes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([np.hstack([nodes[:-1], inputs]).ravel(), nodes[-1]])

    def moves(self, w: np.ndarray) -> np.ndarray:
        """Extract the moves (M, n_u) from a vector of decision variables."""
        pairs = w[: -self._n_x].reshape(self._steps, self._n_x + self._n_u)
        return pairs[self._starts, self._n_x :]

    def certify(self, solver: str, found: Any, p: np.ndarray, bounds: dict[str, np.ndarray]) -> Certificate:
        """Measure the KKT residuals at the point that a solver returned."""
        w, lam_x = found["x"], found["lam_x"]
        lagrangian, gradient, gaps = self._residual(x=w, p=p, lam_g=found["lam_g"]).values()
        if not all(np.isfinite(part).all() for part in (w, lam_x, lagrangian, gaps)):
            return Certificate(solver, np.inf, np.inf, np.inf, np.inf)
        # Multipliers grow with the cost gradient, so residuals are relative to it. IPOPT's termination test divides by
        # the multipliers themselves (Wächter & Biegler 2006, §2.1).
        scale = max(1.0, float(np.abs(gradient).max()))
        beyond = np.maximum(bounds["lbx"] - w, w - bounds["ubx"])
        return Certificate(
            solver=solver,
            stationarity=float(np.abs(lagrangian + lam_x).max()) / scale,
            gap=float(np.abs(gaps).max()),
            violation=max(float(beyond.max()), 0.0),
            complementarity=_complementarity(lam_x, w, bounds["lbx"], bounds["ubx"]) / scale,
            duality_gap=self._duality_gap(found, p, lagrangian + lam_x, bounds) if self._convex else None,
        )

    def _duality_gap(self, found: Any, p: np.ndarray, residual: np.ndarray, bounds: dict[str, np.ndarray]) -> float:
        """Compute (f − d) / max(1, |f|), where d, the minimum of the Lagrangian over w, bounds the cost from below.

        The Lagrangian is quadratic in w with the diagonal Hessian H of the cost. At a point where its gradient is
        `residual`, it lies ½ residual' H⁻¹ residual above its minimum (Boyd & Vandenberghe, Convex Optimization,
        §5.1–5.2). A variable without a weight has zero curvature: along it the Lagrangian is linear, and its minimum
        over the feasible box lies at an end.
        """
        w, lam_x, lam_g, gaps = (found[name] for name in ("x", "lam_x", "lam_g", "g"))
        curvature = self._curvature(p=p)["diagonal"]
        beyond_upper, beyond_lower = (np.where(np.isfinite(b), w - b, 0.0) for b in (bounds["ubx"], bounds["lbx"]))
        # CasADi's sign convention: lam_x > 0 belongs to the upper bound, lam_x < 0 to the lower one.
        along_bounds = np.where(lam_x > 0, lam_x * beyond_upper, lam_x * beyond_lower)
        curved = curvature > 0
        lift = 0.5 * float((residual[curved] ** 2 / curvature[curved]).sum())
        if not curved.all():
            lower, upper = self._feasible_box(p, bounds)
            slope, farthest = residual[~curved], np.where(residual > 0, w - lower, w - upper)[~curved]
            # `where` skips 0 × ∞: a zero slope along an unbounded variable costs nothing.
            lift += float(np.multiply(slope, farthest, out=np.zeros_like(slope), where=slope != 0).sum())
        cost = float(found["f"].item())
        return float(abs(lift - float(along_bounds.sum()) - float(lam_g @ gaps)) / max(1.0, abs(cost)))

    def _feasible_box(self, p: np.ndarray, bounds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return a box around the feasible set: `bounds`, the fixed first state, and held controls bounded as moves."""
        sides = []
        for name in ("lbx", "ubx"):
            pairs = bounds[name][: -self._n_x].reshape(self._steps, self._n_x + self._n_u).copy()
            pairs[:, self._n_x :] = pairs[self._block_start, self._n_x :]
            pairs[0, : self._n_x] = p[: self._n_x]
            sides.append(np.concatenate([pairs.ravel(), bounds[name][-self._n_x :]]))
        return sides[0], sides[1]


def _always_defined(_values: tuple[float, ...]) -> bool:
    """Return True: the plants of this package are finite within their bounds for all parameter values."""
    return True


def _probe(problem: Problem, parameters: Sequence[casadi.SX]) -> Callable[[tuple[float, ...]], bool]:
    """Return a test of parameter values: are one step and its Jacobian finite at sampled points within the bounds?"""
    plant = problem.plant
    w, p = casadi.SX.sym("w", plant.n_x + plant.n_u), casadi.vertcat(*parameters)
    components = casadi.vertsplit(w)
    step = casadi.vertcat(*plant.step_components(0.0, components[: plant.n_x], components[plant.n_x :], casadi))
    evaluate = casadi.Function("probe", [w, p], [step, casadi.jacobian(step, w)])
    rng = generator("probe", problem.name)
    shares = rng.uniform(size=(_PROBES, plant.n_x + plant.n_u))
    shares[::2] = np.round(shares[::2])  # every second point becomes a corner of the box
    lower = np.concatenate([plant.state_lower, plant.control_lower])
    upper = np.concatenate([plant.state_upper, plant.control_upper])
    points = (lower + shares * (upper - lower)).T

    @cache
    def defined(values: tuple[float, ...]) -> bool:
        given = np.tile(np.array(values, dtype=float)[:, None], (1, _PROBES))
        return all(np.isfinite(np.array(part)).all() for part in evaluate(points, given))

    return defined


def _regulated_rollout(problem: Problem) -> casadi.Function:
    """Build the function from x0 to the LQR roll-out w, with states clipped to their bounds in case it diverges."""
    plant, target = problem.plant, casadi.DM(problem.target)

    def within(signals: Any, lower: np.ndarray, upper: np.ndarray) -> Any:
        return casadi.fmin(casadi.fmax(signals, lower), upper)

    x0 = node = casadi.SX.sym("x0", plant.n_x)
    parts = []
    for gain in solve_riccati(problem).gains:
        u = within(-casadi.DM(gain) @ (node - target), plant.control_lower, plant.control_upper)
        parts += [node, u]
        step = plant.step_components(0.0, casadi.vertsplit(node), casadi.vertsplit(u), casadi)
        node = within(casadi.vertcat(*step), plant.state_lower, plant.state_upper)
    return casadi.Function("regulated", [x0], [casadi.densify(casadi.vertcat(*parts, node))], ["x0"], ["w"])


def _complementarity(multipliers: np.ndarray, values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Compute the largest |multiplier × slack|: positive multipliers belong to upper bounds, negative ones to lower.

    A multiplier of an infinite bound counts in full.
    """
    slack = np.abs(np.where(multipliers > 0, upper - values, values - lower))
    return float((np.abs(multipliers) * np.where(np.isfinite(slack), slack, 1.0)).max())
