"""Tools of the server: read experiments, claims, results and reports; check drafts; plan; run within a budget."""

import functools
import inspect
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from setpoint import __version__, plants
from setpoint.agents.budget import Budget, requested
from setpoint.api.planning import preview
from setpoint.artifacts import Workspace
from setpoint.drafts.checking import check_draft, read_facts
from setpoint.errors import InputError, SetpointError
from setpoint.experiments.planning.suggestions import inert_parameters, suggestions
from setpoint.experiments.running.status import experiment_ids, no_experiment, read_status, require_plan
from setpoint.plain_text import escaped
from setpoint.records.plan import plan_path
from setpoint.reports import read_claims_json, write_reports

if TYPE_CHECKING:
    from mcp.server import MCPServer

MOST_ROWS = 500
"""Most rows of results in one answer."""

INSTRUCTIONS = """\
Setpoint trains language models to control dynamical systems and compares how they were trained. Conclusions are claims:
only a claim with status "supported" is a result, and "unresolved" is no evidence that there is no effect. Plan before
you run. Check every text about results with check_draft."""


class Tools:
    """The tools, for one workspace and one budget. Their docstrings are what an agent reads."""

    def __init__(self, workspace: Workspace, budget: Budget) -> None:
        """Serve `workspace`; a budget of 0 core-hours serves it read-only."""
        self._workspace = workspace
        self._budget = budget

    def list_experiments(self) -> list[dict[str, Any]]:
        """List the experiments of the workspace: id, state, number of runs by state, and systems."""
        found: list[dict[str, Any]] = []
        for name in experiment_ids(self._workspace):
            try:
                plan, status = require_plan(self._workspace, name), read_status(self._workspace, name)
            except InputError as error:
                found.append({"experiment": name, "error": str(error)})
                continue
            systems = list(plan.systems)
            found.append({"experiment": name, "state": status.state.value, "runs": status.counts, "systems": systems})
        return found

    def status(self, experiment: str) -> dict[str, Any]:
        """Return the state of every run of an experiment, with the reason of each failure."""
        require_plan(self._workspace, experiment)
        return read_status(self._workspace, experiment).to_json()

    def claims(self, experiment: str) -> dict[str, Any]:
        """Return every claim of an experiment: statement, status, estimate, interval, p-value, method and caveats."""
        return read_claims_json(self._report(experiment))

    def report(self, experiment: str) -> str:
        """Return the report of an experiment as text: question, results, effects, failures and recommendations."""
        return escaped(self._report(experiment).read_text(encoding="utf-8"))

    def results(self, experiment: str, first: int = 0) -> dict[str, Any]:
        """Return the table of results, one row per run and system, from row `first`; at most 500 rows at a time."""
        import pyarrow.parquet as pq

        table = pq.read_table(self._report(experiment).with_name("results.parquet"))
        rows = table.slice(max(first, 0), MOST_ROWS).to_pylist()
        return {"rows": rows, "total": table.num_rows}

    def check_draft(self, experiment: str, draft: str) -> list[dict[str, Any]]:
        """Check every number and comparative sentence of a text against the claims of an experiment."""
        self._require(experiment)
        facts = read_facts(self._workspace.experiment(experiment))
        return [checked.to_json() for checked in check_draft(draft, facts)]

    def systems(self) -> list[str]:
        """List the dynamical systems that experiments can use."""
        return list(plants.names())

    def plan(self, specification: dict[str, Any], experiment: str | None = None) -> dict[str, Any]:
        """Show what an experiment would run and cost, without running it.

        The specification has the fields of a Setpoint YAML file, for example {"systems": ["double_integrator"],
        "parameters": {"lora_rank": [4, 8]}, "replicates": 3}. More replicates allow significance tests.
        """
        prepared = preview(requested(self._workspace, specification, experiment))
        expected = prepared.estimate(self._budget.workers).record()
        return {
            "experiment": prepared.plan.experiment,
            "runs": [run.name for run in prepared.plan.runs],
            "stages": len(prepared.plan.stages),
            "core_hours": round(expected.predicted.cpu_s / 3600, 6),
            "kinds_without_estimate": list(expected.unknown_kinds),
            "suggestions": suggestions(prepared.plan),
            "warnings": inert_parameters(prepared.plan),
            "budget": self._budget.to_json(),
        }

    def run(self, specification: dict[str, Any], experiment: str | None = None) -> dict[str, Any]:
        """Start an experiment in the background, or resume the one of that id; follow it with `status`.

        Refused if it may cost more core-hours than the budget has left. A run that uses up the budget is interrupted.
        """
        return self._budget.start(self._workspace, specification, experiment)

    def budget(self) -> dict[str, Any]:
        """Return the core-hours that runs may use, those spent, and the run in progress."""
        return self._budget.to_json()

    def _report(self, experiment: str) -> Any:
        self._require(experiment)
        return write_reports(self._workspace.experiment(experiment), figures=False)

    def _require(self, experiment: str) -> None:
        if not plan_path(self._workspace.experiment(experiment)).exists():
            raise no_experiment(self._workspace, experiment)


READING = ("list_experiments", "status", "claims", "report", "results", "check_draft", "systems", "plan")
RUNNING = ("run", "budget")


def make_server(workspace: Workspace, budget: Budget) -> "MCPServer":
    """Return the server; without a budget it has no tool that runs anything.

    Raises:
        ModuleNotFoundError: the package mcp is not installed.
    """
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    server = MCPServer("setpoint", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")
    tools = Tools(workspace, budget)
    for name in READING + (RUNNING if budget.core_hours > 0 else ()):
        hints = ToolAnnotations(read_only_hint=name != "run", destructive_hint=False, open_world_hint=False)
        server.tool(name=name, annotations=hints, structured_output=False)(_told(getattr(tools, name)))
    return server


def _told(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Return the tool with its answer as text, and its errors as messages that an agent can act on."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(tool)
    def told(*arguments: Any, **named: Any) -> str:
        try:
            answer = tool(*arguments, **named)
        except SetpointError as error:
            raise ToolError(str(error)) from error
        return answer if isinstance(answer, str) else json.dumps(_finite(answer), ensure_ascii=False)

    told.__signature__ = inspect.signature(tool).replace(return_annotation=str)  # type: ignore[attr-defined]
    told.__annotations__ = {**tool.__annotations__, "return": str}
    return told


def _finite(value: Any) -> Any:
    """Return `value` with None in place of NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
