"""How trained models and references do under every condition and in every mode of a comprehensive evaluation.

Described, not tested: runs are compared on the nominal cases in the judged mode alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.quantities import Metrics, summarise
from setpoint.artifacts import StageFolder
from setpoint.episodes import EPISODES, condition_folder, read_episode_columns
from setpoint.errors import InputError

NOMINAL = "nominal"


@dataclass(frozen=True)
class Under:
    """One controller under one condition, in one mode.

    Attributes:
        run: that trained it; None of references and of the untrained base, which is called `base`.
        system: of the run, also where the condition puts another plant in its place.
    """

    run: RunResult | None
    system: str
    condition: str
    mode: str
    controller: str
    metrics: Metrics


def read_conditions(data: ExperimentData) -> list[Under]:
    """References and base first, then the runs that are finished; nothing of a standard evaluation."""
    return list(_read(data))


def _read(data: ExperimentData) -> Iterator[Under]:
    stages: Mapping[str, Any] = data.plan["stages"]
    shared: Mapping[str, Mapping[str, str]] = data.plan.get("shared", {})
    for system in data.systems:
        for role, kind in (("reference", "reference"), ("evaluate_base", "evaluate")):
            stage = shared.get(role, {}).get(system, "")
            yield from _rows(data, stages, kind, stage, system, None)
    for run in data.runs:
        for system in run.systems if run.state == "ok" else ():
            yield from _rows(data, stages, "evaluate", run.evaluation(system), system, run)


def _rows(
    data: ExperimentData, stages: Mapping[str, Any], kind: str, stage: str, system: str, run: RunResult | None
) -> Iterator[Under]:
    names = [each["name"] for each in stages.get(stage, {}).get("config", {}).get("conditions", ())]
    folder = data.workspace.stage(kind, stage) if names else None
    if folder is None or not folder.finished():
        return
    for condition, path in _files(folder, names).items():
        try:
            episodes = read_episode_columns(path)
        except InputError:  # the condition has no case with an optimum
            continue
        for mode in dict.fromkeys(episodes.mode.tolist()):
            for name in dict.fromkeys(episodes.controller.tolist()):
                metrics = summarise(episodes.where((episodes.controller == name) & (episodes.mode == mode)))
                if metrics is not None:
                    yield Under(
                        run, system, condition, mode, "base" if name == "llm" and run is None else name, metrics
                    )


def _files(folder: StageFolder, names: list[str]) -> dict[str, Path]:
    places = {name: condition_folder(folder.path, name) for name in names}
    return {name: place / EPISODES for name, place in {NOMINAL: folder.path, **places}.items()}
