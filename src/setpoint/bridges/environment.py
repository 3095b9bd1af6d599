"""Every problem as a Gymnasium environment, so that any reinforcement-learning library can train on it.

Importing this module registers them: `gymnasium.make("setpoint/pendulum-v0")`.
"""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from setpoint import metrics, plants, problems
from setpoint.arguments import require_instance
from setpoint.errors import InputError, shown
from setpoint.problems import Problem
from setpoint.simulation import NO_DISTURBANCE, Disturbance, simulate
from setpoint.trajectory import Trajectory

_LARGEST_SEED = 2**31
Observation = Float[np.ndarray, " n_x+1"]


class ControlEnvironment(gymnasium.Env[np.ndarray, np.ndarray]):
    """One episode steers the plant from a random initial state to the target; the return is −J.

    The observation is the measured state in SI units, followed by the share of the horizon that is left: the last
    reward contains the terminal cost, so the state alone is not Markov. The action is the control in SI units; the
    plant saturates it. An episode ends after `problem.steps` steps, and only then.

    Attributes:
        problem: the optimal-control problem.
        disturbance: noise, delay and mismatch. Each episode has draws of its own.
    """

    def __init__(self, problem: Problem | str, disturbance: Disturbance = NO_DISTURBANCE) -> None:
        """Pose the problem.

        Args:
            problem: a problem, or the name of its system.

        Raises:
            InputError: the system is unknown, the delay is as long as the horizon, or an argument has another type.
        """
        if not isinstance(problem, Problem):
            if not isinstance(problem, str):
                raise InputError(f"problem must be a Problem or the name of a system, got {shown(problem)}.")
            problem = problems.get(problem)
        self.problem = problem
        require_instance(disturbance, Disturbance, "disturbance")
        if disturbance.delay_steps >= self.problem.steps:
            raise InputError(
                f"a delay must be shorter than the horizon, got {disturbance.delay_steps} of the {self.problem.steps} "
                f"steps of {self.problem.name}. Reduce delay_steps."
            )
        self.disturbance = disturbance
        plant = self.problem.plant
        self.observation_space = spaces.Box(-np.inf, np.inf, (plant.n_x + 1,), np.float64)
        self.action_space = spaces.Box(plant.control_lower, plant.control_upper, dtype=np.float64)
        self._begun = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            options: {"initial_state": x} begins in x (n_x,) instead of a random state of the initial set.

        Raises:
            InputError: an option is unknown, or the initial state has another shape or is outside the initial set.
        """
        super().reset(seed=seed)
        self._states = [self._initial_state(dict(options or {}))]
        drawn = replace(self.disturbance, seed=int(self.np_random.integers(_LARGEST_SEED)))
        problem, self._plant = self.problem, drawn.real_plant(self.problem.plant, 1)
        self._measurement_errors = drawn.measurement_errors(problem, 1, problem.steps + 1)[0]
        self._control_errors = drawn.control_errors(problem, 1)[0]
        self._commanded = [np.zeros(problem.plant.n_u)] * drawn.delay_steps
        self._applied: list[np.ndarray] = []
        self._diverged = False
        self._step, self._begun = 0, True
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply a control, (n_u,), for one grid interval.

        Returns:
            The observation, the reward, whether the horizon is reached, False, and, after the last step, the metrics
            `cost`, `final_error`, `normalised_error`, `success` and `diverged`.

        Raises:
            InputError: no episode has begun or it is over, or the action has another shape or is not finite.
        """
        if not self._begun:
            raise InputError("no episode has begun. Call reset() first.")
        if self._step >= self.problem.steps:
            raise InputError("the episode is over. Call reset() to begin the next one.")
        try:
            control = np.asarray(action, dtype=float)
        except (TypeError, ValueError) as error:
            shape = self.action_space.shape
            raise InputError(f"an action must be numbers of shape {shape}, got {shown(action)}.") from error
        if control.shape != self.action_space.shape:
            raise InputError(f"an action must have shape {self.action_space.shape}, got {control.shape}.")
        if not np.isfinite(control).all():
            raise InputError(f"an action must be finite, got {control.tolist()}.")
        self._commanded.append(control)
        before = self._states[-1]
        self._advance(self._commanded[self._step] + self._control_errors[self._step])
        self._step += 1
        cost = self.problem.state_cost(tuple(before)) + self.problem.control_cost(tuple(self._applied[-1]))
        over = self._step == self.problem.steps
        if over:
            cost += self.problem.terminal_weight * self.problem.state_cost(tuple(self._states[-1]))
        return self._observation(), -float(cost), over, False, self._metrics() if over else {}

    def _advance(self, acting: Float[np.ndarray, " n_u"]) -> None:
        found = simulate(self._plant, self._states[-1][None], acting[None, None])
        # A diverged state stays where it is for the rest of the episode, as in `simulate`.
        self._diverged |= bool(found.diverged[0])
        self._states.append(self._states[-1] if self._diverged else found.states[0, -1])
        self._applied.append(found.controls[0, 0])

    def _observation(self) -> Observation:
        left = 1.0 - self._step / self.problem.steps
        return np.append(self._states[-1] + self._measurement_errors[self._step], left)

    def _initial_state(self, options: dict[str, Any]) -> Float[np.ndarray, " n_x"]:
        given = options.pop("initial_state", None)
        if options:
            raise InputError(f"reset() knows the option initial_state, got {', '.join(map(shown, options))}.")
        problem = self.problem
        if given is None:
            spread = self.np_random.uniform(-1.0, 1.0, problem.plant.n_x) * np.array(problem.half_width)
            return np.asarray(problem.initial_centre + spread)
        states, _ = problem.as_states(given, "initial_state", batch=False)
        problem.require_initial(states)
        return np.asarray(states[0])

    def _metrics(self) -> dict[str, Any]:
        states, controls = np.array(self._states)[None], np.array(self._applied)[None]
        commanded = np.array(self._commanded[: self._step])[None]
        times = self.problem.plant.dt_s * np.arange(self._step + 1)
        episode = Trajectory(times, states, controls, commanded, np.array([self._diverged]))
        error = metrics.normalised_error(self.problem, episode)
        violation = metrics.violations(self.problem, episode)
        return {
            "cost": float(self.problem.cost(states, controls)[0]),
            "final_error": float(metrics.final_error(self.problem, episode)[0]),
            "normalised_error": float(error[0]),
            "success": bool(metrics.success(error, violation, np.array([True]))[0]),
            "diverged": self._diverged,
        }


def _register() -> None:
    """Register `setpoint/NAME-v0` for every usable system."""
    for name in plants.names():
        gymnasium.register(f"setpoint/{name}-v0", f"{__name__}:ControlEnvironment", kwargs={"problem": name})


_register()
