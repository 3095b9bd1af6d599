"""Which files an experiment left, as paths relative to the workspace."""

from dataclasses import dataclass

from setpoint.analysis.experiment import ExperimentData, RunResult

REPORTS = "reports"
FIGURES = "figures"


@dataclass(frozen=True)
class Files:
    """Places named in a report, relative to the workspace."""

    models: tuple[str, ...]
    plots: str
    results: str
    logs: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Label and place, as a report lists them."""
        return [
            ("Models", ", ".join(self.models) or "none: no training stage has finished"),
            ("Plots", self.plots),
            ("Raw results", self.results),
            ("Detailed logs", ", ".join(self.logs)),
        ]


def generated_files(data: ExperimentData, figures: str) -> Files:
    """The places of `data`; `figures` says where the plots are, or why there are none."""
    experiment = f"experiments/{data.folder.name}"
    return Files(
        models=_models(data),
        plots=figures,
        results=f"{experiment}/{REPORTS}/results.csv",
        logs=(f"{experiment}/journal", "stages/<kind>/<id>/attempts"),
    )


def _models(data: ExperimentData) -> tuple[str, ...]:
    """Folders of readable links to adapters where they exist, else the stages that hold the adapters."""
    finished = [run for run in data.runs if _trained(data, run)]
    families = dict.fromkeys(_family(run) for run in finished)
    linked = [f"models/{family}" for family in families if (data.workspace.models / family).is_dir()]
    kinds = sorted({role for run in finished for role in _trained(data, run)})
    return tuple(linked or [f"stages/{kind}" for kind in kinds])


def _trained(data: ExperimentData, run: RunResult) -> list[str]:
    """The training stages of a run that have finished, which those of a successful run have."""
    return [
        role
        for role in ("sft", "grpo")
        if role in run.stages and (run.state == "ok" or data.workspace.stage(role, run.stages[role]).finished())
    ]


def _family(run: RunResult) -> str:
    return f"single_system/{run.systems[0]}" if run.model_type == "specialist" else f"universal/{'+'.join(run.systems)}"
