"""Dataset aggregation (DAgger; Ross, Gordon, Bagnell, AISTATS 2011) with the expert of the demonstrations.

In every round the model controls episodes in closed loop. The expert labels each state in which the model is asked,
exactly as evaluation would ask it: in a fresh prompt with the whole horizon. Training then continues on the
demonstrations and all labelled states so far. Finished rounds are kept beside the checkpoints, so that an interrupted
stage repeats none of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.artifacts import StageContext
from setpoint.controllers import ControlPlan, ProblemController
from setpoint.demonstrations.dataset import DatasetInfo
from setpoint.demonstrations.label import Labeller, StateLabels, fresh_states
from setpoint.errors import StageError
from setpoint.fingerprint import digest
from setpoint.policies.controller import LLMController
from setpoint.policies.language_model import LanguageModel
from setpoint.problems import MoveBlocking, Problem
from setpoint.seeding import generator
from setpoint.simulation import run_controller
from setpoint.training.adapters import trainable_tensors
from setpoint.training.batches import BatchLayout
from setpoint.training.callbacks import TrainingCurve, validation_losses
from setpoint.training.config import DaggerParameters
from setpoint.training.rows import Example, Examples, dataset_infos, load_examples, schedule
from setpoint.training.session import Session
from setpoint.training.sft import supervised_trainer, training_losses


@dataclass(frozen=True)
class _Visits:
    """Labelled states of one system and round.

    Attributes:
        labels: all states in which the model was asked, in the order of the plans.
        plans_parsed: share of readable plans.
    """

    labels: StateLabels
    plans_parsed: float

    def examples(self, system: str, blocking: MoveBlocking) -> list[Example]:
        """Return the labelled states as examples; their optimal cost is not needed and therefore NaN."""
        labels = self.labels
        return [
            Example(
                system=system,
                state=labels.states[row],
                moves=labels.moves[row],
                controls=blocking.expand(labels.moves[row]),
                blocking=blocking,
                feedback=labels.feedback[row],
                optimal_cost=float("nan"),
            )
            for row in np.flatnonzero(labels.found)
        ]


def run(context: StageContext) -> dict[str, Any]:
    """Train an adapter in rounds, write it to `adapter/` and return the summary.

    Training continues the adapter of the upstream stage `parent`, if there is one; otherwise it starts a new one.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter is invalid.
        StageError: training diverged or did not change the adapter, or no visited state could be labelled.
    """
    parameters = DaggerParameters.model_validate(context.config["dagger"])
    demonstrations = load_examples(context.workspace, context.config, "train")
    validation = load_examples(context.workspace, context.config, "validation")
    session = Session.open(context)
    labellers = {
        system: _labeller(problems.get(system), session.prompt_format.blocking, info)
        for system, info in dataset_infos(context.workspace, context.config).items()
    }
    visited: dict[str, list[_Visits]] = {system: [] for system in demonstrations}
    trainer: Any = None
    steps, layout = 0, BatchLayout.of(session.runtime, parameters.batch_size)
    losses: list[dict[str, float]] = []
    for number in range(parameters.rounds):
        for system, found in visited.items():
            found.append(_visit(session, parameters, labellers[system], number))
        trainer, layout = _train_round(
            session, parameters, number, demonstrations, _labelled(visited, labellers), validation, layout
        )
        losses.append(training_losses(trainer))
        steps += trainer.state.global_step
    trainer.evaluate()
    labelled = [visits for found in visited.values() for visits in found]
    return {
        **session.publish(trainer, layout),
        "steps": steps,
        "first_loss": losses[0]["first_loss"],
        "final_loss": losses[-1]["final_loss"],
        "min_loss": min(each["min_loss"] for each in losses),
        "validation_loss": validation_losses(trainer.state)[-1][1],
        "rounds": parameters.rounds,
        "states_visited": sum(len(visits.labels.found) for visits in labelled),
        "states_labelled": sum(int(visits.labels.found.sum()) for visits in labelled),
        "readable_start": float(np.mean([found[0].plans_parsed for found in visited.values()])),
        "readable_end": float(np.mean([found[-1].plans_parsed for found in visited.values()])),
        "rows": sum(map(len, demonstrations.values())),
        "rows_seen": steps * parameters.batch_size,
    }


def _labeller(problem: Problem, blocking: MoveBlocking, info: DatasetInfo) -> Labeller:
    """Return the expert of the demonstrations; other blockings than theirs are answered with means of single steps."""
    leading = blocking.lengths == info.blocking.lengths[: blocking.moves]
    return Labeller(problem, info.blocking if leading else MoveBlocking.none(problem.steps), info.expert)


def _visit(session: Session, parameters: DaggerParameters, labeller: Labeller, number: int) -> _Visits:
    """Roll the model out and label the states that it visits, or read what an earlier attempt stored."""
    problem, context = labeller.problem, session.context
    file = context.checkpoints / f"round-{number + 1}-{problem.name}.npz"
    stored = _stored_visits(file, session.fingerprint)
    if stored is not None:
        return stored
    model = LanguageModel(session.model, session.chat, session.runtime)
    controller = _Labelling(
        LLMController(problem, model, session.base.preset, session.prompt_format),
        labeller,
        parameters.expert_share * 0.5**number,
        generator("dagger", "expert", problem.name, context.seed, number),
    )
    x0 = fresh_states(problem, parameters.episodes, "dagger", context.seed, number)
    rollout = run_controller(problem, controller, x0, parameters.replan_interval)
    found = _Visits(controller.labels(), float(rollout.plans_parsed.mean() / rollout.plans))
    if not found.labels.found.any():
        raise StageError(
            "no_learning_signal",
            f"none of the {len(found.labels.found)} states that the model visited on {problem.name} could be labelled",
            evidence={"round": number + 1, "plans_parsed": found.plans_parsed},
            suggestion="train with SFT first, or raise dagger.expert_share",
        )
    _store_visits(file, session.fingerprint, found)
    return found


class _Labelling(ProblemController):
    """The model's controller, which has every state labelled and executes the expert's plan in a share of cases."""

    name = "llm"

    def __init__(
        self,
        model: LLMController,
        labeller: Labeller,
        expert_share: float,
        random: np.random.Generator,
    ) -> None:
        super().__init__(model.problem)
        self._model = model
        self._labeller = labeller
        self._expert_share = expert_share
        self._random = random
        self._labels: list[StateLabels] = []

    def labels(self) -> StateLabels:
        """Return the labels of all states so far."""
        names = ("states", "moves", "feedback", "found")
        return StateLabels(*(np.concatenate([getattr(each, name) for each in self._labels]) for name in names))

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        labels = self._labeller.label(x)
        self._labels.append(labels)
        plan = self._model.plan(t, x, steps)
        by_expert = labels.found & (self._random.random(len(x)) < self._expert_share)
        length = plan.controls.shape[1]
        expert = self._labeller.blocking.expand(labels.moves)[:, :length]
        return replace(plan, controls=np.where(by_expert[:, None, None], expert, plan.controls))


def _labelled(visited: dict[str, list[_Visits]], labellers: dict[str, Labeller]) -> Examples:
    """Return the labelled states of all rounds so far, by system."""
    return {
        system: [example for visits in found for example in visits.examples(system, labellers[system].blocking)]
        for system, found in visited.items()
    }


def _train_round(
    session: Session,
    parameters: DaggerParameters,
    number: int,
    demonstrations: Examples,
    labelled: Examples,
    validation: Examples,
    layout: BatchLayout,
) -> tuple[Any, BatchLayout]:
    """Train on demonstrations and all labelled states; return the trainer and the layout that fits."""
    of_round = parameters.of_round(number)
    folder = session.context.checkpoints / f"round-{number + 1}"
    folder.mkdir(parents=True, exist_ok=True)
    own = replace(
        session,
        context=replace(session.context, checkpoints=folder),
        initial=trainable_tensors(session.model),
        fingerprint=digest([session.fingerprint, number]),
    )
    seen = _mixture(parameters, of_round.steps * parameters.batch_size, demonstrations, labelled, session, number)
    curve = TrainingCurve("dagger", session.context.log, sum(parameters.of_round(k).steps for k in range(number)))

    def build(parts: BatchLayout) -> Any:
        return supervised_trainer(own, of_round, parts, seen, validation, [curve])

    return own.train(build, layout)


def _mixture(
    parameters: DaggerParameters,
    count: int,
    demonstrations: Examples,
    labelled: Examples,
    session: Session,
    number: int,
) -> list[Example]:
    """Return `count` examples in training order, `visited_share` of them labelled visited states."""
    seed = ("dagger", session.context.seed, number)
    ends = np.floor(parameters.visited_share * np.arange(count + 1) + 0.5)
    is_visited = np.diff(ends) > 0
    visited = iter(schedule(labelled, int(is_visited.sum()), *seed, "visited"))
    others = iter(schedule(demonstrations, int((~is_visited).sum()), *seed, "demonstrations"))
    return [next(visited if own else others) for own in is_visited]


def _store_visits(file: Path, fingerprint: str, visits: _Visits) -> None:
    labels = visits.labels
    partial = file.with_suffix(".partial.npz")
    np.savez(
        partial,
        fingerprint=np.array(fingerprint),
        plans_parsed=np.array(visits.plans_parsed),
        states=labels.states,
        moves=labels.moves,
        feedback=labels.feedback,
        found=labels.found,
    )
    partial.rename(file)


def _stored_visits(file: Path, fingerprint: str) -> _Visits | None:
    """Return what an earlier attempt of the same stage stored; None if there is nothing usable."""
    try:
        with np.load(file) as stored:
            if str(stored["fingerprint"]) != fingerprint:
                return None
            labels = StateLabels(stored["states"], stored["moves"], stored["feedback"], stored["found"])
            return _Visits(labels, float(stored["plans_parsed"]))
    except (OSError, ValueError, KeyError, EOFError):
        return None
