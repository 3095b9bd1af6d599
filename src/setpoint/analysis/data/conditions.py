"""Results of trained models and references under every condition and in every mode of a comprehensive evaluation.

These are descriptive. Significance tests use only the nominal cases in the primary evaluation mode.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.quantities import Metrics, summarise
from setpoint.artifacts import StageFolder
from setpoint.episodes import EPISODES, condition_folder, read_episode_columns
from setpoint.errors import InputError

NOMINAL = "nominal"


@dataclass(frozen=True)
class ConditionResult:
    """One controller under one condition, in one mode.

    Attributes:
        run: the run that trained the controller; None for references and for the untrained base model.
        system: system of the run, even if the condition replaces its plant.
        controller: name of the reference controller, `llm`, or `base` for the untrained base model.
    """

    run: RunResult | None
    system: str
    condition: str
    mode: str
    controller: str
    metrics: Metrics


def read_conditions(data: ExperimentData) -> list[ConditionResult]:
    """Return the results of references and base, then of finished runs; empty after a standard evaluation."""
    return list(_read(data))


def _read(data: ExperimentData) -> Iterator[ConditionResult]:
    shared = data.plan.shared
    for system in data.systems:
        for stages in (shared.reference, shared.evaluate_base):
            yield from _rows(data, stages.get(system, ""), system, None)
    for run in data.runs:
        for system in run.systems if run.state.ok else ():
            yield from _rows(data, run.evaluation(system), system, run)


def _rows(data: ExperimentData, stage: str, system: str, run: RunResult | None) -> Iterator[ConditionResult]:
    planned = data.plan.stages.get(stage)
    names = () if planned is None else planned.conditions
    if planned is None or not names:
        return
    folder = data.workspace.stage(planned.kind, stage)
    if not folder.finished():
        return
    for condition, path in _files(folder, names).items():
        try:
            episodes = read_episode_columns(path)
        except InputError:  # no case of this condition has an optimal control
            continue
        for mode in dict.fromkeys(episodes.mode.tolist()):
            for name in dict.fromkeys(episodes.controller.tolist()):
                metrics = summarise(episodes.where((episodes.controller == name) & (episodes.mode == mode)))
                if metrics is not None:
                    yield ConditionResult(
                        run, system, condition, mode, "base" if name == "llm" and run is None else name, metrics
                    )


def _files(folder: StageFolder, names: Sequence[str]) -> dict[str, Path]:
    places = {name: condition_folder(folder.path, name) for name in names}
    return {name: place / EPISODES for name, place in {NOMINAL: folder.path, **places}.items()}
