"""Locally optimal blocked moves for batches of random plants: Gauss–Newton SQP over the moves, all states condensed.

Each iteration linearises the RK4 step along the trajectory, condenses the problem to the moves and solves the
box-constrained quadratic programs of the whole batch by a primal-dual active set. State bounds enter as a quadratic
penalty on the nodes that violate them. A row counts as solved only if the iteration has converged and the simulated
trajectory is the predicted one.

Sources: Bock & Plitt 1984 (multiple shooting); Hintermüller, Ito, Kunisch, SIAM J. Optim. 13, 2002 (active set as
semismooth Newton method).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from setpoint.pretraining.dynamics import Dynamics
from setpoint.problems import MoveBlocking

_ITERATIONS = 14
_ACTIVE_SET_ITERATIONS = 30
_PENALTY_ITERATIONS = 8
_TOLERANCE = 2e-3
"""Largest change of a move in the last iteration, as a share of its bound."""
_PENALTY = 1e3
"""Weight of the squared violation of a state bound, relative to the largest state weight."""
_PREDICTED = 5e-3
"""Largest difference between predicted and simulated states, relative to the excursion."""


@dataclass(frozen=True)
class Problems:
    """A batch of R problems on plants of equal size: the target is the origin, all bounds are symmetric.

    Attributes:
        q, r, terminal: weights, (R, n_x), (R, n_u) and (R,).
        u_bound, x_bound: bounds, (R, n_u) and (R, n_x); infinite bounds are never active.
    """

    dynamics: Dynamics
    q: Float[np.ndarray, "R n_x"]
    r: Float[np.ndarray, "R n_u"]
    terminal: Float[np.ndarray, " R"]
    u_bound: Float[np.ndarray, "R n_u"]
    x_bound: Float[np.ndarray, "R n_x"]

    def take(self, rows: np.ndarray) -> "Problems":
        """Return these problems, which may repeat."""
        return Problems(
            self.dynamics.take(rows),
            *(getattr(self, name)[rows] for name in ("q", "r", "terminal", "u_bound", "x_bound")),
        )


@dataclass(frozen=True)
class Labels:
    """Solutions of a batch: moves (R, M, n_u), simulated states (R, N+1, n_x), and whether each row is solved, (R,)."""

    moves: Float[np.ndarray, "R M n_u"]
    states: Float[np.ndarray, "R N1 n_x"]
    solved: Bool[np.ndarray, " R"]


def solve(problems: Problems, x0: Float[np.ndarray, "R n_x"], blocking: MoveBlocking, batch: int = 400) -> Labels:
    """Solve all problems, `batch` at a time."""
    parts = [
        _solve(problems.take(rows), x0[rows], blocking)
        for rows in np.array_split(np.arange(len(x0)), -(-len(x0) // batch))
    ]
    return Labels(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("moves", "states", "solved")))


def gains(problems: Problems, steps: int) -> Float[np.ndarray, "R n_u n_x"]:
    """Return the first gain of the finite-horizon linear-quadratic regulator about the origin."""
    count, n_x = problems.q.shape
    n_u = problems.r.shape[1]
    origin = np.zeros((count, 1, n_x))
    _, derivatives = problems.dynamics.linearised_step(origin, np.zeros((count, 1, n_u)))
    a, b = derivatives[:, 0, :, :n_x], derivatives[:, 0, :, n_x:]
    q, r = problems.q[:, :, None] * np.eye(n_x), problems.r[:, :, None] * np.eye(n_u)
    value, gain = problems.terminal[:, None, None] * q, np.zeros((count, n_u, n_x))
    for _ in range(steps):
        along = b.transpose(0, 2, 1) @ value
        gain = np.linalg.solve(r + along @ b, along @ a)
        value = q + a.transpose(0, 2, 1) @ value @ (a - b @ gain)
        value = (value + value.transpose(0, 2, 1)) / 2
    return gain


def regulated(
    problems: Problems, x0: Float[np.ndarray, "R n_x"], gain: Float[np.ndarray, "R n_u n_x"], steps: int
) -> tuple[Float[np.ndarray, "R N1 n_x"], Float[np.ndarray, "R N n_u"]]:
    """Simulate the clipped regulator u = -K x; return states and controls."""
    states, controls = [x0], []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            u = np.clip(-np.einsum("bij,bj->bi", gain, states[-1]), -problems.u_bound, problems.u_bound)
            reached = problems.dynamics.step(states[-1][:, None], u[:, None])[:, 0]
            controls.append(u)
            states.append(np.clip(np.nan_to_num(reached, nan=1e6), -1e6, 1e6))
    return np.stack(states, axis=1), np.stack(controls, axis=1)


def _solve(problems: Problems, x0: np.ndarray, blocking: MoveBlocking) -> Labels:
    count, n_u = len(x0), problems.r.shape[1]
    steps, held = blocking.steps, np.repeat(np.arange(blocking.moves), blocking.lengths)
    states, controls = regulated(problems, x0, gains(problems, steps), steps)
    diverged = np.abs(states).max(axis=(1, 2)) > 1e3 * (1 + np.abs(x0).max(axis=1))
    line = x0[:, None] * np.linspace(1, 0, steps + 1)[None, :, None] ** 2
    states = np.where(diverged[:, None, None], line, states)
    moves = blocking.average(np.where(diverged[:, None, None], 0.0, controls))
    change, settled, dead = np.full(count, np.inf), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for _ in range(1 if problems.dynamics.linear else _ITERATIONS):
        dead |= ~(np.abs(states).max(axis=(1, 2)) < 1e4)
        states[dead], moves[dead] = 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            free, response = _condense(problems.dynamics, x0, states, moves[:, held], held)
        new, settled = _quadratic(problems, free, response, blocking)
        dead |= ~np.isfinite(new).all(axis=1)
        new[dead] = 0.0
        new = new.reshape(count, blocking.moves, n_u)
        change = (np.abs(new - moves) / problems.u_bound[:, None]).max(axis=(1, 2))
        moves = new
        states = np.concatenate([x0[:, None], free + np.einsum("bknm,bm->bkn", response, moves.reshape(count, -1))], 1)
        if (dead | (change < _TOLERANCE)).all():
            break
    simulated = problems.dynamics.simulate(x0, moves[:, held])
    excursion = np.abs(simulated).max(axis=1)
    as_predicted = (np.abs(simulated - states).max(axis=1) <= _PREDICTED * (excursion + 1e-3)).all(axis=1)
    converged = settled if problems.dynamics.linear else settled & (change < _TOLERANCE)
    within = (excursion <= np.maximum(problems.x_bound, np.abs(x0)) * 1.01).all(axis=1)
    return Labels(moves, simulated, converged & as_predicted & within & ~dead)


def _condense(
    dynamics: Dynamics, x0: np.ndarray, states: np.ndarray, controls: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the states (R, N, n_x) without moves and their response (R, N, n_x, M n_u) to the moves, linearised."""
    (count, n_x), n_u = x0.shape, controls.shape[-1]
    steps, width = len(held), (held.max() + 1) * n_u
    if dynamics.linear:
        _, once = dynamics.linearised_step(states[:, :1], controls[:, :1])
        following, derivatives = None, np.broadcast_to(once, (count, steps, *once.shape[2:]))
    else:
        following, derivatives = dynamics.linearised_step(states[:, :-1], controls)
    a, b = derivatives[..., :n_x], derivatives[..., n_x:]
    free, response = np.empty((count, steps, n_x)), np.empty((count, steps, n_x, width))
    at, reach = x0, np.zeros((count, n_x, width))
    for k in range(steps):
        at = np.einsum("bij,bj->bi", a[:, k], at)
        if following is not None:  # the defect of the linearisation; zero for linear plants
            at = at + following[:, k]
            at = at - np.einsum("bij,bj->bi", a[:, k], states[:, k]) - np.einsum("bij,bj->bi", b[:, k], controls[:, k])
        reach = a[:, k] @ reach
        reach[:, :, held[k] * n_u : (held[k] + 1) * n_u] += b[:, k]
        free[:, k], response[:, k] = at, reach
    return free, response


def _quadratic(
    problems: Problems, free: np.ndarray, response: np.ndarray, blocking: MoveBlocking
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the condensed problems with penalised state bounds; return moves (R, M n_u) and which rows settled."""
    count, steps, n_x = free.shape
    weight = np.repeat(problems.q[:, None], steps, axis=1)
    weight[:, -1] *= problems.terminal[:, None]
    flat = response.reshape(count, steps * n_x, -1)
    bound = np.tile(problems.u_bound, (1, blocking.moves))
    lengths = np.repeat(blocking.lengths, problems.r.shape[1])
    effort = lengths * np.tile(problems.r, (1, blocking.moves))
    penalty = _PENALTY * np.maximum(problems.q.max(axis=1), 1.0)[:, None, None]
    limited = np.isfinite(problems.x_bound).any()
    beyond = np.zeros((count, steps, n_x))
    settled = np.zeros(count, dtype=bool)
    moves = np.zeros_like(bound)
    with np.errstate(all="ignore"):
        for _ in range(_PENALTY_ITERATIONS if limited else 1):
            # A node beyond its bound is drawn to the bound itself, so the penalty adds weight and a target.
            extra = penalty * (beyond != 0)
            total = (weight + extra).reshape(count, -1)
            target = (weight * free + extra * (free - np.where(beyond != 0, beyond, 0.0))).reshape(count, -1)
            hessian = flat.transpose(0, 2, 1) @ (flat * total[:, :, None])
            hessian[:, range(len(lengths)), range(len(lengths))] += effort
            linear = np.einsum("bkm,bk->bm", flat, target)
            bad = ~(np.isfinite(hessian).all(axis=(1, 2)) & np.isfinite(linear).all(axis=1))
            bad |= ~(np.abs(hessian).max(axis=(1, 2)) < 1e13)
            hessian[bad], linear[bad] = np.eye(len(lengths)), np.nan_to_num(linear[bad]) * 0
            moves, done = box_quadratic(hessian, linear, bound)
            moves[bad] = np.nan
            predicted = free + np.einsum("bknm,bm->bkn", response, np.nan_to_num(moves))
            limit = problems.x_bound[:, None]
            new = np.where(
                np.abs(predicted) > limit, np.sign(predicted) * np.where(np.isfinite(limit), limit, 0.0), 0.0
            )
            settled = done & (new == beyond).all(axis=(1, 2))
            beyond = new
            if (settled | bad).all():
                break
    return moves, settled


def box_quadratic(
    hessian: Float[np.ndarray, "R n n"], linear: Float[np.ndarray, "R n"], bound: Float[np.ndarray, "R n"]
) -> tuple[Float[np.ndarray, "R n"], Bool[np.ndarray, " R"]]:
    """Minimise ½ u'Hu + f'u with |u| <= bound for a batch; return the minima and which active sets are final."""
    count, width = linear.shape
    found, active, done = np.zeros_like(linear), np.zeros((count, width)), np.zeros(count, dtype=bool)
    diagonal = np.arange(width)
    for _ in range(_ACTIVE_SET_ITERATIONS):
        rows = np.flatnonzero(~done)
        if not len(rows):
            break
        side, own, limit = active[rows], hessian[rows], bound[rows]
        free, fixed = side == 0, side * limit
        right = np.where(free, -(linear[rows] + np.einsum("bij,bj->bi", own, fixed)), fixed)
        matrix = own * (free[:, :, None] & free[:, None, :])
        matrix[:, diagonal, diagonal] += np.where(free, 1e-9, 1.0)
        u = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
        pull = -(np.einsum("bij,bj->bi", own, u) + linear[rows])
        new = np.where(
            free, np.where(u > limit, 1.0, np.where(u < -limit, -1.0, 0.0)), np.where(pull * side > 0, side, 0.0)
        )
        found[rows] = u
        done[rows[(new == side).all(axis=1)]] = True
        active[rows] = new
    return np.clip(found, -bound, bound), done
