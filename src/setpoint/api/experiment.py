"""One experiment: plan, estimate, execution, results and report."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint import plants
from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.runs.configurations import rank_configurations, ranking_metric
from setpoint.api.policies import Policy, load_policy
from setpoint.api.results import ClaimList, Table
from setpoint.api.running import Notify, RunOptions, Slurm, run_experiment
from setpoint.arguments import require_flag, require_path, require_text, require_whole
from setpoint.artifacts import TRAINING_KINDS, Workspace
from setpoint.display import html_table
from setpoint.episodes import EPISODES, read_episodes
from setpoint.errors import InputError
from setpoint.execution import Limits
from setpoint.experiments import launch
from setpoint.experiments.cost.estimate import Estimate
from setpoint.experiments.request import Request, resume_request
from setpoint.experiments.running.lease import lease_holder
from setpoint.experiments.running.status import read_status
from setpoint.records.plan import Plan
from setpoint.records.state import ExperimentState
from setpoint.reports import write_reports
from setpoint.reports.content import ordered_runs, report_claims
from setpoint.reports.results import result_rows

if TYPE_CHECKING:
    from setpoint.reports.figures import Figure

_SHOWN = ("run", "system", "state", "final_error", "success_rate", "regret_median", "training_time_s")


class BestRun:
    """The best run of the best configuration on one system.

    Attributes:
        run: parameters, costs and results.
        metric: ranking metric.
        mean: mean of the metric over the seeds of the configuration.
        adapter: folder of the trained adapter.
    """

    def __init__(self, run: RunResult, system: str, metric: str, mean: float, adapter: Path) -> None:
        """Store the run and the path of its adapter."""
        self.run, self.system, self.metric, self.mean, self.adapter = run, system, metric, mean, adapter

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the swept parameters."""
        return dict(self.run.factors)

    def policy(self) -> Policy:
        """Load the trained model as a controller of the system."""
        return load_policy(self.adapter, problem=self.system)

    def __repr__(self) -> str:
        """Return the run, its system, and the mean by which its configuration was ranked."""
        ranked = f"mean {self.metric} of its configuration: {self.mean:.4g}"
        return f"BestRun({self.run.name!r}, system={self.system!r}, {ranked})"


class Experiment:
    """An experiment in a workspace, planned, running or finished.

    Attributes:
        id: name of the experiment.
        workspace: folder that contains it.
    """

    def __init__(self, request: Request, *, accept_changes: bool = False) -> None:
        """Wrap a checked request; users get experiments from `Sweep(...).plan()` or `load_experiment`."""
        self._request = request
        self._accept_changes = accept_changes
        self._prepared: launch.Preparation | None = None

    @property
    def id(self) -> str:
        """Name of the experiment."""
        return self._request.experiment_id

    @property
    def workspace(self) -> Path:
        """Folder of the workspace."""
        return self._request.workspace.root

    @property
    def folder(self) -> Path:
        """Folder of plan, journal and reports; exists once the experiment has started."""
        return self._request.folder

    @property
    def request(self) -> Request:
        """Canonical specification and id."""
        return self._request

    def _preview(self) -> launch.Preparation:
        if self._prepared is None:
            self._prepared = launch.preview(self._request)
        return self._prepared

    @property
    def plan(self) -> Plan:
        """Runs of the experiment and the stages that they share.

        Raises:
            InputError: a dataset is missing and cannot be generated.
        """
        return self._preview().plan

    def estimate(self, workers: int | None = None) -> Estimate:
        """Estimate the cost of the unfinished stages from similar stages in this workspace.

        Args:
            workers: stages in parallel; default: as many as fit on this machine.

        Raises:
            InputError: `workers` is not a whole number of at least 1.
        """
        if workers is not None:
            require_whole(workers, "workers", least=1)
        return self._preview().estimate(workers)

    def run(
        self,
        *,
        workers: int | None = None,
        on: Slurm | None = None,
        retry: bool = False,
        limits: Limits | None = None,
        notify: Notify = print,
    ) -> "Experiment":
        """Run or resume the experiment: finished stages are reused, training continues from its last checkpoint.

        Args:
            workers: stages in parallel; default: as many as cores, GPUs and memory allow.
            on: a SLURM cluster; default: this machine.
            retry: run failed stages again.
            limits: time, memory and stall limits of every stage.
            notify: receives progress messages; `lambda text: None` discards them.

        Returns:
            This experiment, with its report written.

        Raises:
            InputError: a requirement is missing, or another process runs the experiment.
            RunInterrupted: Ctrl-C or SIGTERM; call `run` again to resume. A `KeyboardInterrupt`.
            ReportInterrupted: likewise, while the report was being written.
        """
        require_flag(retry, "retry")
        options = RunOptions(
            workers=workers,
            limits=Limits() if limits is None else limits,
            retry=lambda _: retry,
            on=on,
            accept_changes=self._accept_changes,
            notify=notify,
            progress=_progress(notify),
        )
        finished = run_experiment(self._request, options)
        self._request = resume_request(self._request.workspace, finished.request.experiment_id)
        self._prepared = None
        return self

    def status(self) -> ExperimentState:
        """Return the state of every run.

        Raises:
            InputError: the experiment has not been started.
        """
        self._require_started()
        return read_status(self._request.workspace, self.id)

    def data(self) -> ExperimentData:
        """Read the data for analysis and reports from the result files.

        Raises:
            InputError: the experiment has not been started.
        """
        self._require_started()
        return read_experiment(self.folder)

    def _require_started(self) -> None:
        if not (self.folder / "plan.json").exists():
            raise InputError(f"experiment {self.id!r} has not been started. Call run() first.")

    def claims(self, *, strict: bool = False) -> ClaimList:
        """Return the claims that the results support, and those that remain open, as in claims.json.

        The text report answers the same questions. It counts the claims about single configurations in one line.

        Args:
            strict: correct for all families of tests together, so that the significance level bounds the probability
                of any false finding in the report.
        """
        return ClaimList(report_claims(self.data(), strict=require_flag(strict, "strict")))

    @property
    def results(self) -> Table:
        """Table with one row per run and system: parameters, metrics before and after training, costs."""
        return Table(f"Results of {self.id}", result_rows(self.data()), _SHOWN)

    def episodes(self) -> Table:
        """Return a table with one row per run, test case and mode."""
        data = self.data()
        rows: list[Mapping[str, Any]] = []
        for run in data.runs:
            for system in run.systems:
                path = data.workspace.stage("evaluate", run.evaluation(system)).path / EPISODES
                if path.exists():
                    rows += [{"run": run.name, "seed": run.seed, **asdict(row)} for row in read_episodes(path)]
        return Table(f"Episodes of {self.id}", rows, ("run", "system", "mode", "case_id", "final_error", "success"))

    def best(self, system: str | None = None) -> BestRun:
        """Return the best run of the best configuration; its score has selection bias until new seeds confirm it.

        Args:
            system: default: the only one.

        Raises:
            InputError: no run has a result yet, or the system is ambiguous or unknown.
        """
        data = self.data()
        wanted = self._system(data, system)
        metric = ranking_metric(data)
        smallest = data.quantity(metric).better == "smaller"
        for ranked in rank_configurations(data, wanted, metric):
            runs = ordered_runs(ranked.runs, wanted, metric, smallest=smallest)
            if runs and ranked.mean is not None:
                best = runs[0]
                role = next(kind for kind in reversed(TRAINING_KINDS) if kind in best.stages)
                adapter = data.workspace.stage(role, best.stages[role]).path / "adapter"
                return BestRun(best, wanted, metric, ranked.mean, adapter)
        raise InputError(f"no run of {self.id!r} has a result on {wanted!r} yet.")

    def report(self, *, figures: bool = True, strict: bool = False) -> Path:
        """Write the reports from the result files, and return the path of report.html.

        Args:
            figures: also write image files; report.html always contains the figures.
            strict: correct for all families of tests together, as in `claims`.

        Raises:
            InputError: the experiment has not been started.
        """
        self._require_started()
        running = lease_holder(self.folder) is not None
        strict = require_flag(strict, "strict")
        return write_reports(self.folder, figures=figures, running=running, strict=strict).with_name("report.html")

    def plot(self, system: str | None = None) -> "Figure":
        """Draw the ranking metric of every seed, one row per configuration, in the primary evaluation mode."""
        from setpoint.reports.content import build_report
        from setpoint.reports.figures.scores import seeds

        report = build_report(self.data())
        ranked = {each.system: each for each in report.ranked}
        wanted = self._system(report.data, system)
        figures = seeds(report, ranked[wanted])
        if not figures:
            raise InputError(f"no run of {self.id!r} has a result on {wanted!r} yet.")
        return figures[0]

    def _system(self, data: ExperimentData, system: str | None) -> str:
        """Return the full name of the system.

        Raises:
            InputError: several systems exist and none is named, or the experiment has no such system.
        """
        if system is None and len(data.systems) > 1:
            raise InputError(f"{self.id!r} has several systems. Name one of {', '.join(data.systems)}.")
        wanted = data.systems[0] if system is None else plants.canonical(require_text(system, "system"))
        if wanted not in data.systems:
            raise InputError(f"{self.id!r} has no system {wanted!r}. Name one of {', '.join(data.systems)}.")
        return wanted

    def __repr__(self) -> str:
        """Return id and workspace."""
        return f"Experiment({self.id!r}, workspace={str(self.workspace)!r})"

    def _repr_html_(self) -> str:
        plan = self.plan
        kinds = Counter(stage.kind for stage in plan.stages.values())
        rows: list[tuple[str, object]] = [
            ("type", plan.type),
            ("systems", ", ".join(plan.systems)),
            ("runs", len(plan.runs)),
            ("stages", ", ".join(f"{count} {kind}" for kind, count in kinds.items())),
            ("base model", plan.base.name),
        ]
        if (self.folder / "plan.json").exists():
            counts = self.status().counts
            rows.append(("state", ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))))
        return html_table(f"Experiment {self.id}", ("", ""), rows)


def _progress(notify: Notify) -> Any:
    """Return a progress display that sends the events of a run to `notify` as text."""
    from contextlib import contextmanager

    from setpoint.experiments.running.messages import progress_text
    from setpoint.experiments.running.watch import Watch

    @contextmanager
    def progress(plan: Plan, workspace: Workspace) -> Any:
        watch = Watch(plan, workspace)

        def listen(event: Any) -> None:
            text = progress_text(watch, event)
            if text:
                notify(text)

        yield listen

    return progress


def load_experiment(workspace: str | Path, experiment_id: str) -> Experiment:
    """Load an experiment by its id.

    Raises:
        InputError: the experiment does not exist; the message lists the known ones.
    """
    root = Workspace(require_path(workspace, "workspace"))
    return Experiment(resume_request(root, require_text(experiment_id, "experiment_id")))
