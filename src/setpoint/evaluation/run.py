"""Evaluate one controller in one mode on the cases of one system: one row per case, including failures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from setpoint import metrics
from setpoint.controllers import Controller
from setpoint.episodes import EpisodeResult, EpisodeTrajectory
from setpoint.evaluation.optima import Optima
from setpoint.evaluation.protocol import Mode
from setpoint.problems import Problem
from setpoint.simulation import NO_DISTURBANCE, Disturbance, Rollout, run_controller

SHOWN_CASES = 6
"""Number of leading cases whose trajectories are stored."""


@dataclass
class Evaluated:
    """Rows of any number of evaluations.

    Attributes:
        episodes: one per case, controller and mode.
        trajectories: trajectories of the leading cases.
    """

    episodes: list[EpisodeResult] = field(default_factory=list)
    trajectories: list[EpisodeTrajectory] = field(default_factory=list)

    def add(self, other: "Evaluated") -> None:
        """Append the rows of `other`."""
        self.episodes += other.episodes
        self.trajectories += other.trajectories

    def numbered_from(self, first: int) -> "Evaluated":
        """Return the rows with case numbers starting at `first`, for appending to other cases."""
        return Evaluated(
            [replace(row, case_id=first + row.case_id) for row in self.episodes],
            [replace(row, case_id=first + row.case_id) for row in self.trajectories],
        )

    def in_mode(self, mode: Mode) -> "Evaluated":
        """Return the rows relabelled as another mode, for controllers that replanning does not change."""
        return Evaluated(
            [replace(row, mode=mode.name, replan_interval=mode.replan_interval) for row in self.episodes],
            [replace(row, mode=mode.name) for row in self.trajectories],
        )


def evaluate(
    problem: Problem,
    controller: Controller,
    optima: Optima,
    mode: Mode,
    disturbance: Disturbance = NO_DISTURBANCE,
) -> Evaluated:
    """Run `controller` on every case of `optima`. Unparsable answers are simulated as zero control.

    Optimal costs are always those without disturbance, so regret includes the cost of the disturbance.
    """
    rollout = run_controller(problem, controller, optima.states, mode.replan_interval, disturbance)
    return Evaluated(
        episodes=_episodes(problem, controller.name, optima, mode, rollout),
        trajectories=_trajectories(problem, controller.name, mode, rollout),
    )


def _episodes(problem: Problem, controller: str, optima: Optima, mode: Mode, rollout: Rollout) -> list[EpisodeResult]:
    trajectory = rollout.trajectory
    error = metrics.normalised_error(problem, trajectory)
    violation = metrics.violations(problem, trajectory)
    parsed = rollout.plans_parsed == rollout.plans
    cost = problem.cost(trajectory.states, trajectory.controls)
    columns = {
        "initial_state": map(tuple, optima.states.tolist()),
        "final_state": map(tuple, trajectory.states[:, -1].tolist()),
        "termination": rollout.terminations,
        "parsed": parsed.tolist(),
        "final_error": metrics.final_error(problem, trajectory).tolist(),
        "normalised_error": error.tolist(),
        "control_cost": cost.tolist(),
        "optimal_cost": optima.costs.tolist(),
        "blocked_optimal_cost": optima.blocked_costs.tolist(),
        "regret": metrics.regret(cost, optima.costs).tolist(),
        "violation_max": violation.max(axis=-1).tolist(),
        "violation_count": metrics.violation_count(violation).tolist(),
        "success": metrics.success(error, violation, parsed).tolist(),
        "success_loose": metrics.success(error, violation, parsed, metrics.LOOSE_SUCCESS_ERROR).tolist(),
        "tokens": rollout.tokens.tolist(),
        "plans_parsed": rollout.plans_parsed.tolist(),
    }
    return [
        EpisodeResult(
            case_id=case,
            system=problem.name,
            controller=controller,
            mode=mode.name,
            replan_interval=mode.replan_interval,
            plans=rollout.plans,
            **dict(zip(columns, values, strict=True)),
        )
        for case, values in enumerate(zip(*columns.values(), strict=True))
    ]


def _trajectories(problem: Problem, controller: str, mode: Mode, rollout: Rollout) -> list[EpisodeTrajectory]:
    trajectory = rollout.trajectory
    return [
        EpisodeTrajectory(
            case_id=case,
            system=problem.name,
            controller=controller,
            mode=mode.name,
            dt_s=problem.plant.dt_s,
            states=_nested(states),
            controls=_nested(controls),
        )
        for case, (states, controls) in enumerate(
            zip(trajectory.states[:SHOWN_CASES], trajectory.controls[:SHOWN_CASES], strict=True)
        )
    ]


def _nested(rows: Sequence[np.ndarray] | np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row.tolist()) for row in rows)
