"""The files of an experiment, as paths relative to the workspace."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.artifacts import TRAINING_KINDS
from setpoint.reports.content import Report, run_at

REPORTS = "reports"
FIGURES = "figures"


BELOW = "Paths are relative to the workspace."
HEADING = "=== Files Generated ==="
_PLACE = re.compile(r"(?<=[ ,])(?=(?:experiments|stages|models)/)")


@dataclass(frozen=True)
class Files:
    """Paths named in a report, relative to the workspace.

    Attributes:
        plots: the folder of the plots, or why there are none.
        best: system -> the adapter of the best seed of the best configuration.
    """

    models: tuple[str, ...]
    plots: str
    results: str
    logs: tuple[str, ...]
    best: Mapping[str, str]

    def places(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return labels and paths, as a report lists them."""
        several = len(self.best) > 1
        return [
            ("Models", self.models or ("none: no training stage has finished",)),
            *((f"Best adapter{f', {system}' if several else ''}", (place,)) for system, place in self.best.items()),
            ("Plots", (self.plots,)),
            ("Raw results", (self.results,)),
            ("Detailed logs", self.logs),
        ]

    def lines(self) -> list[tuple[str, str]]:
        """Return label and text of each line."""
        return [(label, ", ".join(places)) for label, places in self.places()]


def generated_files(report: Report, figures: str) -> Files:
    """Collect the paths of an experiment; `figures` is the folder of the plots, or why there are none."""
    data = report.data
    experiment = f"experiments/{data.folder.name}"
    best = {ranked.system: run_at(report, ranked, "best") for ranked in report.ranked}
    return Files(
        models=_models(data),
        plots=figures,
        results=f"{experiment}/{REPORTS}/results.csv",
        logs=(f"{experiment}/journal", "stages/<kind>/<id>/attempts"),
        best={system: place for system, run in best.items() if run is not None and (place := _adapter(data, run))},
    )


def seen_from(folder: Path, text: str, workspace: Path) -> str:
    """Return a report's text with its paths relative to `folder` instead of to the workspace."""
    workspace, folder = workspace.resolve(), folder.resolve()
    if workspace == folder:
        return text
    near = workspace.is_relative_to(folder)
    prefix = f"{(workspace.relative_to(folder) if near else workspace).as_posix()}/"
    before, heading, places = text.rpartition(HEADING)
    return before + heading + _PLACE.sub(lambda _: prefix, places.replace(f"{BELOW}\n", ""))


def _adapter(data: ExperimentData, run: RunResult) -> str:
    """Return the readable link to a run's final adapter if it exists, else its stage folder; empty without adapter."""
    roles = _trained(data, run)
    if not roles:
        return ""
    link = f"models/{_family(run)}/{roles[-1]}/{run.name}"
    return link if (data.workspace.root / link).exists() else f"stages/{roles[-1]}/{run.stages[roles[-1]]}"


def _models(data: ExperimentData) -> tuple[str, ...]:
    """Return the folders of readable links to adapters if they exist, else the stages that hold the adapters."""
    finished = [run for run in data.runs if _trained(data, run)]
    families = dict.fromkeys(_family(run) for run in finished)
    linked = [f"models/{family}" for family in families if (data.workspace.models / family).is_dir()]
    kinds = sorted({role for run in finished for role in _trained(data, run)})
    return tuple(linked or [f"stages/{kind}" for kind in kinds])


def _trained(data: ExperimentData, run: RunResult) -> list[str]:
    """Return the finished training stages of a run; all of a successful run's are."""
    return [
        role
        for role in TRAINING_KINDS
        if role in run.stages and (run.state.ok or data.workspace.stage(role, run.stages[role]).finished())
    ]


def _family(run: RunResult) -> str:
    return f"single_system/{run.systems[0]}" if run.model_type == "specialist" else f"universal/{'+'.join(run.systems)}"
