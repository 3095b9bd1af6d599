"""Batched simulation: open loop and receding horizon."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from setpoint.controllers import Controller
from setpoint.problems import Problem
from setpoint.systems import Plant
from setpoint.trajectory import Termination, Trajectory

DIVERGENCE_LIMIT = 1e6
"""A state component beyond this (SI units) is called diverged; the roll-out goes on from the last finite state."""

_PRECEDENCE = {termination: rank for rank, termination in enumerate(Termination)}


def simulate(plant: Plant, x0: Float[np.ndarray, "B n_x"], commanded: Float[np.ndarray, "B N n_u"]) -> Trajectory:
    """Roll `plant` out from `x0` under `commanded`, which the plant saturates to its bounds.

    Controls that are not finite count as zero. A state that leaves ±`DIVERGENCE_LIMIT` stays where it last was.
    """
    applied = np.clip(np.nan_to_num(commanded, posinf=np.inf, neginf=-np.inf), plant.control_lower, plant.control_upper)
    states = np.empty((len(x0), applied.shape[1] + 1, plant.n_x))
    states[:, 0] = x0
    diverged = np.zeros(len(x0), dtype=bool)
    for k in range(applied.shape[1]):
        with np.errstate(over="ignore", invalid="ignore"):
            reached = plant.step(k * plant.dt_s, states[:, k], applied[:, k])
        diverged |= ~(np.abs(reached) <= DIVERGENCE_LIMIT).all(axis=-1)
        states[:, k + 1] = np.where(diverged[:, None], states[:, k], reached)
    times = plant.dt_s * np.arange(applied.shape[1] + 1)
    return Trajectory(times, states, applied, commanded, diverged)


@dataclass(frozen=True)
class Rollout:
    """What a controller did to a batch of initial states.

    Attributes:
        trajectory: the states and controls of the B episodes.
        terminations: B values, the first by precedence over all plans of an episode.
        tokens: generated tokens per episode, (B,).
        plans: plans made per episode.
        plans_parsed: plans that could be read, (B,).
    """

    trajectory: Trajectory
    terminations: tuple[Termination, ...]
    tokens: Int[np.ndarray, " B"]
    plans: int
    plans_parsed: Int[np.ndarray, " B"]


def run_controller(
    problem: Problem, controller: Controller, x0: Float[np.ndarray, "B n_x"], replan_interval: int = 0
) -> Rollout:
    """Let `controller` steer the episodes that start in `x0`.

    `replan_interval` 0 is open loop: one plan for the whole horizon. Otherwise the first `replan_interval` steps of a
    plan are applied before the controller is asked again. A plan that could not be read counts as zero control.
    """
    plant, interval = problem.plant, replan_interval or problem.steps
    x, count = x0, len(x0)
    commanded: list[np.ndarray] = []
    worst = [Termination.COMPLETED] * count
    tokens = np.zeros(count, dtype=np.int64)
    parsed = np.zeros(count, dtype=np.int64)
    starts = range(0, problem.steps, interval)
    for start in starts:
        steps = min(interval, problem.steps - start)
        plan = controller.plan(start * plant.dt_s, x, steps)
        chosen = plan.controls[:, :steps]
        commanded.append(chosen)
        tokens += plan.tokens
        parsed += np.array([outcome.parsed for outcome in plan.outcomes])
        worst = [_first(*pair) for pair in zip(worst, plan.outcomes, strict=True)]
        x = simulate(plant, x, chosen).states[:, -1]
    trajectory = simulate(plant, x0, np.concatenate(commanded, axis=1))
    ends = [Termination.DIVERGED if gone else Termination.COMPLETED for gone in trajectory.diverged]
    worst = [_first(*pair) for pair in zip(worst, ends, strict=True)]
    return Rollout(trajectory, tuple(worst), tokens, len(starts), parsed)


def _first(one: Termination, other: Termination) -> Termination:
    return min(one, other, key=_PRECEDENCE.__getitem__)
