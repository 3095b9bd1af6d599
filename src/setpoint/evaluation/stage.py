"""Evaluation stages: `reference` for each system and suite, `evaluate` for each model on them."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.artifacts import StageContext
from setpoint.controllers import Controller, ControlPlan
from setpoint.episodes import EPISODES, TRAJECTORIES, condition_folder, write_episodes, write_trajectories
from setpoint.errors import InputError, StageError
from setpoint.evaluation.conditions import Condition
from setpoint.evaluation.optima import OPTIMA, Optima, read_optima, write_optima
from setpoint.evaluation.protocol import EvaluationConfig, Mode
from setpoint.evaluation.references import evaluate_references
from setpoint.evaluation.run import Evaluated, evaluate
from setpoint.evaluation.summary import summarise
from setpoint.language import PromptFormat
from setpoint.modes import CLOSED_LOOP_REPLANNING
from setpoint.problems import MoveBlocking, Problem

_ADAPTER = "adapter"
_LOG_EVERY_S = 2.0

Policy = Callable[[Problem], Controller]


def run_reference(context: StageContext) -> dict[str, Any]:
    """Evaluate optimum, clipped LQR and zero control, and store the optima for `run_policy`.

    Configuration: `system`, `evaluation`, `cases`, `conditions`, and `blocks`, the block lengths of an answer.
    """
    config = EvaluationConfig.of_stage(context.config)
    blocking = MoveBlocking(tuple(context.config["blocks"]))
    optima, found = evaluate_references(problems.get(config.system), config.states(), config.modes, blocking)
    write_optima(context.output / OPTIMA, optima)
    elsewhere = {
        condition.name: _references_under(condition, config, blocking, context.output)
        for condition in config.conditions
    }
    return _publish(context, found, elsewhere)


def _references_under(
    condition: Condition, config: EvaluationConfig, blocking: MoveBlocking, output: Path
) -> Evaluated:
    """Evaluate the references under one condition and store the optima; groups without any optimum have no rows."""
    found, solved = Evaluated(), 0
    for group, cases in enumerate(condition.groups(config.cases)):
        with contextlib.suppress(InputError):
            optima, rows = evaluate_references(
                cases.problem, cases.states, config.modes, blocking, condition.disturbance
            )
            path = _optima_of(output, condition, group)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_optima(path, optima)
            found.add(rows.numbered_from(solved))
            solved += len(optima)
    return found


def run_policy(context: StageContext) -> dict[str, Any]:
    """Evaluate a base model, with the adapter from the stage `adapter` if there is one.

    Configuration: `system`, `evaluation`, `cases`, `conditions`, `base` (name and digest) and `dialect`. The stage
    `reference` provides the optima of the same cases.

    Raises:
        InputError: the base or the adapter cannot be used.
        StageError: the base model or the reference differs from the planned one.
    """
    prompt_format = PromptFormat.from_definition(context.config["dialect"])
    config = EvaluationConfig.of_stage(context.config).covered_by(prompt_format.blocking)
    problem = problems.get(config.system)
    optima = _planned_optima(config, context.needs["reference"])
    policy = _load_policy(context)
    tally = _Tally(context, config.cases * len(config.modes) * (1 + len(config.conditions)))
    found = Evaluated()
    for mode in config.modes:
        found.add(evaluate(problem, tally.counted(policy(problem), problem, mode), optima, mode))
    elsewhere = {
        condition.name: _under(condition, config, policy, context.needs["reference"], tally)
        for condition in config.conditions
    }
    summary = _publish(context, found, elsewhere)
    if not _constrained(context):
        return summary
    return {**summary, "unconstrained_parse_rate": _parse_rate(policy(problem), optima)}


def _parse_rate(controller: Any, optima: Optima) -> float:
    """Return the share of first answers that can be read without constraint."""
    steps = min(CLOSED_LOOP_REPLANNING, controller.problem.steps)
    plan = controller.unconstrained().plan(0.0, optima.states, steps)
    return float(np.mean([outcome.parsed for outcome in plan.outcomes]))


@dataclass
class _Tally:
    """Logs how many cases of all modes and conditions have been answered, after each plan of a controller.

    Attributes:
        total: number of cases, once for each mode and condition.
    """

    context: StageContext
    total: int
    done: float = 0.0

    def add(self, cases: float) -> None:
        self.done += cases
        self.context.log({"step": round(self.done), "cases": self.total})

    def counted(self, controller: Controller, problem: Problem, mode: Mode) -> "_Counted":
        plans = -(-problem.steps // (mode.replan_interval or problem.steps))
        return _Counted(controller, plans, self)


@dataclass
class _Counted:
    """A controller whose plans are counted; an episode takes `plans` of them."""

    controller: Controller
    plans: int
    tally: _Tally

    @property
    def name(self) -> str:
        return self.controller.name

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        planned = self.controller.plan(t, x, steps)
        self.tally.add(len(x) / self.plans)
        return planned


def _under(condition: Condition, config: EvaluationConfig, policy: Policy, reference: Path, tally: _Tally) -> Evaluated:
    """Evaluate the policy under one condition, on the cases for which the reference has optima."""
    found, solved = Evaluated(), 0
    for group, cases in enumerate(condition.groups(config.cases)):
        path = _optima_of(reference, condition, group)
        if path.exists():
            optima = read_optima(path)
            _require_cases(cases.states, optima, path)
            controller = policy(cases.problem)
            for mode in config.modes:
                counted = tally.counted(controller, cases.problem, mode)
                rows = evaluate(cases.problem, counted, optima, mode, condition.disturbance)
                found.add(rows.numbered_from(solved))
            solved += len(optima)
    return found


def _optima_of(stage: Path, condition: Condition, group: int) -> Path:
    return condition_folder(stage, condition.name) / f"optima-{group:02d}.parquet"


def _planned_optima(config: EvaluationConfig, reference: Path) -> Optima:
    optima = read_optima(reference / OPTIMA)
    _require_cases(config.states(), optima, reference)
    return optima


def _require_cases(states: Float[np.ndarray, "C n_x"], optima: Optima, place: Path) -> None:
    """Check that `optima` belong to the cases that start in `states`."""
    cases = {state.tobytes() for state in states}
    of_these = all(state.tobytes() in cases for state in optima.states)
    if not of_these or len(optima) + optima.rejected != len(states):
        raise StageError(
            "data",
            f"the reference {str(place)!r} has other cases than the {len(states)} of this evaluation",
            evidence={"cases": len(states), "reference_cases": len(optima)},
            suggestion="plan the experiment again",
        )


def _load_policy(context: StageContext) -> Policy:
    """Load the model once and return a function from a problem to its controller."""
    from setpoint.policies import resolve_base
    from setpoint.policies.controller import load_controllers

    planned = context.config["base"]
    base = resolve_base(planned["name"])
    if base.digest != planned["digest"]:
        raise StageError(
            "data",
            f"base model {base.name!r} has changed since this stage was planned",
            evidence={"planned": planned["digest"], "found": base.digest},
            suggestion="plan the experiment again, or restore the model",
        )
    trained = context.needs.get("adapter")
    adapter = None if trained is None else trained / _ADAPTER
    prompt_format = PromptFormat.from_definition(context.config["dialect"])
    return load_controllers(base, prompt_format, adapter, _Progress(context), constrained=_constrained(context))


def _constrained(context: StageContext) -> bool:
    return bool(context.config["generation"]["constrained"])


class _Progress:
    """Logs the progress of an evaluation, at most every few seconds."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last >= _LOG_EVERY_S:
            self._last = time.monotonic()
            self._context.log({"stage": "evaluate", "progress": text})


def _publish(context: StageContext, found: Evaluated, elsewhere: Mapping[str, Evaluated]) -> dict[str, Any]:
    """Write the rows, each condition in a separate folder, and summarise the nominal ones."""
    write_episodes(context.output / EPISODES, found.episodes)
    write_trajectories(context.output / TRAJECTORIES, found.trajectories)
    for condition, rows in elsewhere.items():
        if rows.episodes:
            folder = condition_folder(context.output, condition)
            folder.mkdir(parents=True, exist_ok=True)
            write_episodes(folder / EPISODES, rows.episodes)
    return dict(summarise(found.episodes))
