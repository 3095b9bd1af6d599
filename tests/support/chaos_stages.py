"""Stages for `make chaos`: real solving, simulation and episodes; training is replaced by drawing a gain."""

import time
from typing import Any

import numpy as np

from setpoint import problems
from setpoint.artifacts import StageContext, read_json, write_json
from setpoint.controllers.interface import ControlPlan
from setpoint.controllers.riccati import clipped_feedback, plan_feedback, solve_riccati
from setpoint.episodes import EPISODES, TRAJECTORIES, write_episodes, write_trajectories
from setpoint.evaluation.optima import OPTIMA, read_optima
from setpoint.evaluation.protocol import EvaluationConfig
from setpoint.evaluation.run import Evaluated, evaluate
from setpoint.problems import Problem
from setpoint.seeding import generator

_GAIN = "adapter/gain.json"


class Feedback:
    """u = −f K x under the name of a language model."""

    name = "llm"

    def __init__(self, problem: Problem, factor: float) -> None:
        self._problem = problem
        self._gain = factor * solve_riccati(problem).gains[0]

    def plan(self, t: float, x: np.ndarray, steps: int) -> ControlPlan:
        return plan_feedback(self._problem, self._control, t, x, steps)

    def _control(self, _step: int, x: np.ndarray) -> np.ndarray:
        return clipped_feedback(self._problem, self._gain, x)


def train(context: StageContext) -> dict[str, Any]:
    """A gain that depends on rank, seed and parent, after a few tenths of a second."""
    parent = context.needs.get("parent")
    start = 0.3 if parent is None else read_json(parent / _GAIN)["factor"]
    random = generator("chaos", context.stage_id)
    for step in range(5):
        context.log({"step": step, "stage": context.kind, "loss": 1.0 / (step + 1)})
        time.sleep(0.02 + 0.03 * random.random())
    factor = start + 0.02 * context.config["lora"]["rank"] ** 0.5 + 0.05 * random.standard_normal()
    write_json(context.output / _GAIN, {"factor": factor})
    return {"factor": factor}


def run_policy(context: StageContext) -> dict[str, Any]:
    """Evaluate the gain as if it were a model."""
    config = EvaluationConfig.of_stage(context.config)
    problem = problems.get(config.system)
    adapter = context.needs.get("adapter")
    factor = 0.1 if adapter is None else read_json(adapter / _GAIN)["factor"]
    optima = read_optima(context.needs["reference"] / OPTIMA)
    found = Evaluated()
    for mode in config.modes:
        found.add(evaluate(problem, Feedback(problem, factor), optima, mode))
    write_episodes(context.output / EPISODES, found.episodes)
    write_trajectories(context.output / TRAJECTORIES, found.trajectories)
    return {"cases": config.cases}
