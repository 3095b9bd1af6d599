"""Batched simulation in open loop and with receding horizon, with or without disturbances."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from setpoint.arguments import require_number, require_whole
from setpoint.controllers import Controller, ControlPlan
from setpoint.errors import InputError, shown
from setpoint.plants import Plant
from setpoint.problems import Problem
from setpoint.seeding import generator
from setpoint.trajectory import Termination, Trajectory

DIVERGENCE_LIMIT = 1e6
"""Magnitude of a state component (SI units) above which an episode counts as diverged and its state is frozen."""

_PRECEDENCE = {termination: rank for rank, termination in enumerate(Termination)}


def simulate(plant: Plant, x0: Float[np.ndarray, "B n_x"], commanded: Float[np.ndarray, "B N n_u"]) -> Trajectory:
    """Simulate `plant` from `x0` under `commanded`, saturated to the control bounds.

    NaN controls count as zero. A state that exceeds ±`DIVERGENCE_LIMIT` stays at its last value.
    """
    applied = np.clip(np.nan_to_num(commanded, posinf=np.inf, neginf=-np.inf), plant.control_lower, plant.control_upper)
    states = np.empty((len(x0), applied.shape[1] + 1, plant.n_x))
    states[:, 0] = x0
    diverged = np.zeros(len(x0), dtype=bool)
    for k in range(applied.shape[1]):
        with np.errstate(over="ignore", invalid="ignore"):
            reached = plant.step(k * plant.dt_s, states[:, k], applied[:, k])
        diverged |= ~(np.abs(reached) <= DIVERGENCE_LIMIT).all(axis=-1)  # `~(<=)` also catches NaN
        states[:, k + 1] = np.where(diverged[:, None], states[:, k], reached)
    times = plant.dt_s * np.arange(applied.shape[1] + 1)
    return Trajectory(times, states, applied, commanded, diverged)


@dataclass(frozen=True)
class Rollout:
    """Result of running a controller on a batch of initial states.

    Attributes:
        trajectory: states and controls of the B episodes.
        terminations: B values, the first by precedence over all plans of an episode.
        tokens: generated tokens per episode, (B,).
        plans: number of plans per episode.
        plans_parsed: number of plans that could be parsed, (B,).
    """

    trajectory: Trajectory
    terminations: tuple[Termination, ...]
    tokens: Int[np.ndarray, " B"]
    plans: int
    plans_parsed: Int[np.ndarray, " B"]


LARGEST_NOISE = 10.0
"""Upper limit of noise, as a share of a half width; larger noise would drown the plant."""


@dataclass(frozen=True)
class Disturbance:
    """Unmodelled disturbances and plant mismatch; all zeros mean no disturbance.

    Random draws depend only on `seed` and the case number.

    Attributes:
        state_noise: standard deviation of the measurement noise, as a share of the half width of the initial set.
        input_noise: standard deviation of the noise on applied controls, as a share of half their range.
        mismatch: relative error of every parameter of the real plant, with random sign.
        delay_steps: input delay in grid intervals; controls are zero until the first one takes effect.
        seed: seed of all draws.
    """

    state_noise: float = 0.0
    input_noise: float = 0.0
    mismatch: float = 0.0
    delay_steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject negative, non-finite and too large values."""
        sizes = (self.state_noise, self.input_noise, self.mismatch, self.delay_steps)
        for name in ("state_noise", "input_noise", "mismatch"):
            require_number(getattr(self, name), name)
        for name in ("delay_steps", "seed"):
            require_whole(getattr(self, name), name, least=0)
        noise = max(self.state_noise, self.input_noise)
        if not all(np.isfinite(size) and size >= 0 for size in sizes) or self.mismatch >= 1 or noise > LARGEST_NOISE:
            raise InputError(
                f"noise, mismatch and delay must be finite and not negative, noise at most {LARGEST_NOISE:g} and "
                f"mismatch below 1, got state_noise={self.state_noise:g}, input_noise={self.input_noise:g}, "
                f"mismatch={self.mismatch:g} and delay_steps={self.delay_steps}."
            )

    @property
    def name(self) -> str:
        """Non-zero settings, such as `state_noise=0.01`; empty without disturbance."""
        sizes = {name: getattr(self, name) for name in ("state_noise", "input_noise", "mismatch", "delay_steps")}
        return ",".join(f"{name}={size:g}" for name, size in sizes.items() if size)

    def measurement_errors(self, problem: Problem, cases: int, plans: int) -> Float[np.ndarray, "B plans n_x"]:
        """Draw the measurement errors of the states at each plan."""
        spread = self.state_noise * np.array(problem.half_width)
        return np.asarray(spread * self._normal(problem, "state noise", cases, (plans, problem.plant.n_x)))

    def control_errors(self, problem: Problem, cases: int) -> Float[np.ndarray, "B N n_u"]:
        """Draw the errors of the applied controls."""
        plant = problem.plant
        spread = self.input_noise * (plant.control_upper - plant.control_lower) / 2
        return np.asarray(spread * self._normal(problem, "input noise", cases, (problem.steps, plant.n_u)))

    def real_plant(self, plant: Plant, cases: int) -> Plant:
        """Return the plant with mismatched parameters, one value per case."""
        if not self.mismatch:
            return plant
        signs = {
            name: np.array(
                [generator("mismatch", self.seed, plant.name, name, case).choice([-1.0, 1.0]) for case in range(cases)]
            )
            for name in plant.parameters
        }
        changed = {name: plant.parameters[name] * (1.0 + self.mismatch * sign) for name, sign in signs.items()}
        return replace(plant, **changed)  # type: ignore[type-var]

    def _normal(self, problem: Problem, stream: str, cases: int, shape: tuple[int, ...]) -> np.ndarray:
        draws = [
            generator("disturbance", self.seed, stream, problem.name, case).standard_normal(shape)
            for case in range(cases)
        ]
        return np.array(draws).reshape(cases, *shape)


NO_DISTURBANCE = Disturbance()
NOISE = Disturbance(state_noise=0.01, input_noise=0.05)
"""Noise level for comparing controllers."""


def run_controller(
    problem: Problem,
    controller: Controller,
    x0: Float[np.ndarray, "B n_x"],
    replan_interval: int = 0,
    disturbance: Disturbance = NO_DISTURBANCE,
) -> Rollout:
    """Run `controller` on the episodes that start in `x0`.

    `replan_interval=0` is open loop: one plan for the whole horizon. Otherwise the first `replan_interval` steps of a
    plan are applied before the controller replans. Unparsable plans count as zero control. Under a disturbance the
    rows of `x0` are its cases 0, 1, …; commanded controls are recorded at the step at which they take effect.

    Raises:
        InputError: the delay is as long as the horizon, or a plan has another shape or is not finite.
    """
    if disturbance.delay_steps >= problem.steps:
        raise InputError(
            f"a delay must be shorter than the horizon, got {disturbance.delay_steps} of the {problem.steps} steps of "
            f"{problem.name}. Reduce delay_steps."
        )
    interval, count = replan_interval or problem.steps, len(x0)
    starts = range(0, problem.steps, interval)
    plant = _DisturbedPlant(problem, disturbance, x0, len(starts))
    worst = [Termination.COMPLETED] * count
    tokens = np.zeros(count, dtype=np.int64)
    parsed = np.zeros(count, dtype=np.int64)
    for number, start in enumerate(starts):
        steps = min(interval, problem.steps - start)
        plan = controller.plan(start * problem.plant.dt_s, plant.measured(number), steps)
        _require_plan(controller, plan, (count, steps, problem.plant.n_u))
        plant.apply(plan.controls[:, :steps])
        tokens += plan.tokens
        parsed += np.array([outcome.parsed for outcome in plan.outcomes])
        worst = [_first(*pair) for pair in zip(worst, plan.outcomes, strict=True)]
    trajectory = plant.trajectory()
    ends = [Termination.DIVERGED if gone else Termination.COMPLETED for gone in trajectory.diverged]
    worst = [_first(*pair) for pair in zip(worst, ends, strict=True)]
    return Rollout(trajectory, tuple(worst), tokens, len(starts), parsed)


class _DisturbedPlant:
    """The real plant with input delay, input noise and measurement noise."""

    def __init__(self, problem: Problem, disturbance: Disturbance, x0: np.ndarray, plans: int) -> None:
        self._x0 = self._x = x0
        self._plant = disturbance.real_plant(problem.plant, len(x0))
        self._delay = disturbance.delay_steps
        self._measurement_errors = (
            disturbance.measurement_errors(problem, len(x0), plans) if disturbance.state_noise else None
        )
        self._control_errors = disturbance.control_errors(problem, len(x0)) if disturbance.input_noise else None
        # A queue of commanded controls; `delay` leading zeros shift every control to the step at which it acts.
        self._commanded = np.zeros((len(x0), self._delay, problem.plant.n_u))
        self._done = 0

    def measured(self, number: int) -> np.ndarray:
        """Return the measured states for plan `number`."""
        return self._x if self._measurement_errors is None else self._x + self._measurement_errors[:, number]

    def apply(self, chosen: np.ndarray) -> None:
        """Append the chosen controls and advance by as many steps; each control acts after the delay."""
        self._commanded = np.concatenate([self._commanded, chosen], axis=1)
        start, self._done = self._done, self._done + chosen.shape[1]
        self._x = simulate(self._plant, self._x, self._acting(start, self._done)).states[:, -1]

    def trajectory(self) -> Trajectory:
        """Simulate the complete episodes."""
        found = simulate(self._plant, self._x0, self._acting(0, self._done))
        return replace(found, commanded=self._commanded[:, : self._done])

    def _acting(self, start: int, end: int) -> np.ndarray:
        acting = self._commanded[:, start:end]
        return acting if self._control_errors is None else np.asarray(acting + self._control_errors[:, start:end])


def _require_plan(controller: Controller, plan: object, wanted: tuple[int, int, int]) -> None:
    """Check what a controller returned against B states, S steps and n_u controls.

    Raises:
        InputError: it is not a plan, or its controls have another shape or are not finite.
    """
    rows, steps, n_u = wanted
    right = f"ControlPlan.of(controls) with controls of shape ({rows}, S, {n_u}) and S at least {steps}"
    if not isinstance(plan, ControlPlan):
        raise InputError(f"plan() of controller {controller.name!r} must return {right}, got {type(plan).__name__}.")
    if not isinstance(plan.controls, np.ndarray) or plan.controls.dtype.kind not in "fiu":
        found = shown(plan.controls)
        raise InputError(f"plan() of controller {controller.name!r} must return {right}, got controls {found}.")
    shape = plan.controls.shape
    if len(shape) != 3 or (shape[0], shape[2]) != (rows, n_u) or shape[1] < steps:
        raise InputError(f"plan() of controller {controller.name!r} must return {right}, got shape {shape}.")
    wrong = ~np.isfinite(plan.controls)
    if wrong.any():
        row, step, _ = np.argwhere(wrong)[0]
        raise InputError(
            f"plan() of controller {controller.name!r} must return finite controls, got "
            f"{plan.controls[row, step].tolist()} in row {row}, step {step}. Return zeros where it has none."
        )


def _first(one: Termination, other: Termination) -> Termination:
    return min(one, other, key=_PRECEDENCE.__getitem__)
