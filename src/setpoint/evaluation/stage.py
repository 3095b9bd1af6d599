"""The stages of evaluation: `reference` for each system and suite, `evaluate` for each model on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from setpoint import problems
from setpoint.artifacts import StageContext
from setpoint.controllers import Controller
from setpoint.episodes import EPISODES, TRAJECTORIES, write_episodes, write_trajectories
from setpoint.errors import StageError
from setpoint.evaluation.optima import OPTIMA, Optima, read_optima, write_optima
from setpoint.evaluation.protocol import EvaluationConfig
from setpoint.evaluation.references import evaluate_references
from setpoint.evaluation.run import Evaluated, evaluate
from setpoint.evaluation.summary import summarise
from setpoint.language import Dialect
from setpoint.problems import MoveBlocking, Problem

_ADAPTER = "adapter"


def run_reference(context: StageContext) -> dict[str, Any]:
    """Evaluate optimum, clipped LQR and zero control, and keep the optima for `run_policy`.

    Configuration: `system`, `evaluation`, `cases`, and `blocks`, the lengths of an answer's moves.
    """
    config = EvaluationConfig.of_stage(context.config)
    blocking = MoveBlocking(tuple(context.config["blocks"]))
    optima, found = evaluate_references(problems.get(config.system), config.states(), config.modes, blocking)
    write_optima(context.output / OPTIMA, optima)
    return _publish(context, found)


def run_policy(context: StageContext) -> dict[str, Any]:
    """Evaluate a base model, with the adapter of the stage `adapter` if there is one.

    Configuration: `system`, `evaluation`, `cases`, `base` (name and digest) and `dialect`. The stage `reference` has
    the optima of the same cases.

    Raises:
        InputError: the base or the adapter cannot be used.
        StageError: the base or the reference is not the one that was planned with.
    """
    config = EvaluationConfig.of_stage(context.config)
    problem = problems.get(config.system)
    optima = _planned_optima(config, context.needs["reference"])
    controller = _load_controller(context, problem)
    found = Evaluated()
    for mode in config.modes:
        found.add(evaluate(problem, controller, optima, mode))
    return _publish(context, found)


def _planned_optima(config: EvaluationConfig, reference: Path) -> Optima:
    optima = read_optima(reference / OPTIMA)
    cases = {state.tobytes() for state in config.states()}
    of_these = all(state.tobytes() in cases for state in optima.states)
    if not of_these or len(optima) + optima.rejected != config.cases:
        raise StageError(
            "data",
            f"the reference stage {str(reference)!r} is of other cases than the {config.cases} of this evaluation",
            evidence={"cases": config.cases, "reference_cases": len(optima)},
            suggestion="plan the experiment again",
        )
    return optima


def _load_controller(context: StageContext, problem: Problem) -> Controller:
    from setpoint.policies import resolve_base
    from setpoint.policies.controller import LLMController
    from setpoint.policies.language_model import LanguageModel

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
    model = LanguageModel.load(base, None if trained is None else trained / _ADAPTER)
    preset = replace(base.preset, dialect=Dialect.from_definition(context.config["dialect"]))
    return LLMController(problem, model, preset)


def _publish(context: StageContext, found: Evaluated) -> dict[str, Any]:
    write_episodes(context.output / EPISODES, found.episodes)
    write_trajectories(context.output / TRAJECTORIES, found.trajectories)
    return dict(summarise(found.episodes))
