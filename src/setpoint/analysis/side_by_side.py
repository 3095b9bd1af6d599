"""Experiments side by side: how their configurations, inputs and results differ, and a test where runs are comparable.

Each experiment enters with one configuration per system: its only one, or its best. The best of several was selected
by the same results, so it is shown but not tested.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from setpoint.analysis.data.claim import Claim, ClaimKind, of_kind
from setpoint.analysis.data.experiment import ExperimentData, Words
from setpoint.analysis.data.tables import TableQuestion, table_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.analysis.runs.configurations import ConfigurationResult, rank_configurations, ranking_metric
from setpoint.formatting import counted, interval_text, level_text, listed, number_text, share_text
from setpoint.records.plan import Plan

LEAST_RUNS = 2
EXPERIMENT = "experiment"
ANSWERS = (ClaimKind.OPTIMAL_LEVEL, ClaimKind.MAIN_EFFECT, ClaimKind.EQUIVALENCE, ClaimKind.FAILURES)
"""Kinds of claims of a comparison."""


@dataclass(frozen=True)
class Line:
    """One property of the experiments, in their order."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Return whether not all values are equal."""
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class SystemComparison:
    """Results of the experiments on one system.

    Attributes:
        claims: tests of the difference; empty if the runs are not comparable.
        obstacle: why they are not; empty if they are.
        differences: properties that differ besides the results.
    """

    system: str
    results: tuple[Line, ...]
    claims: tuple[Claim, ...]
    obstacle: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class SideBySide:
    """A comparison of experiments.

    Attributes:
        inputs: base, data, code and evaluation.
        parameters: parameters that differ between the compared configurations, by system.
    """

    experiments: tuple[str, ...]
    inputs: tuple[Line, ...]
    parameters: Mapping[str, tuple[Line, ...]]
    systems: tuple[SystemComparison, ...]


def side_by_side(experiments: Sequence[ExperimentData], margin: float | None = None) -> SideBySide:
    """Compare experiments on every system that all of them have.

    Args:
        margin: equivalence margin, as in `AnalysisPlan`; None: equivalence is not tested.
    """
    shared = [s for s in experiments[0].systems if all(s in other.systems for other in experiments)]
    chosen = {system: [_chosen(data, system) for data in experiments] for system in shared}
    parameters = {system: _parameters(found) for system, found in chosen.items()}
    inputs = _inputs([data.plan for data in experiments])
    return SideBySide(
        tuple(data.id for data in experiments),
        inputs,
        parameters,
        tuple(_on_system(experiments, s, chosen[s], (*inputs, *parameters[s]), margin) for s in shared),
    )


def _chosen(data: ExperimentData, system: str) -> ConfigurationResult:
    return rank_configurations(data, system, ranking_metric(data))[0]


def _inputs(plans: Sequence[Plan]) -> tuple[Line, ...]:
    systems = dict.fromkeys(system for plan in plans for system in plan.systems)
    named = [
        ("type", [plan.type for plan in plans]),
        ("base model", [f"{plan.base.name} ({plan.base.digest})" for plan in plans]),
        *((f"data of {system}", [_data(plan, system) for plan in plans]) for system in systems),
        ("evaluation", [f"{plan.spec.get('evaluation')}, {_cases(plan)} cases" for plan in plans]),
        ("planned", [plan.created_at[:10] for plan in plans]),
        *((f"code of {kind} stages", [_code(plan, kind) for plan in plans]) for kind in _kinds(plans)),
        *((name, [_package(plan, name) for plan in plans]) for name in _packages(plans)),
    ]
    return tuple(Line(name, tuple(values)) for name, values in named)


def _data(plan: Plan, system: str) -> str:
    found = plan.datasets.get(system)
    return "none" if found is None else f"{found.name} ({found.digest})"


def _cases(plan: Plan) -> object:
    stages = [plan.stages[name] for name in plan.shared.reference.values() if name in plan.stages]
    return next((stage.config.get("cases") for stage in stages), "no")


def _kinds(plans: Sequence[Plan]) -> list[str]:
    used = {stage.kind for plan in plans for stage in plan.stages.values()}
    return [kind for kind in plans[0].code if kind in used]


def _code(plan: Plan, kind: str) -> str:
    """Return the digests of the layers that a kind of stage depends on, as one text."""
    found = plan.code.get(kind)
    if found is None:
        return "not recorded"
    return ", ".join([f"version {found.version}", *(f"{name} {value[:6]}" for name, value in found.layers.items())])


def _packages(plans: Sequence[Plan]) -> list[str]:
    found = plans[0].provenance.get("packages")
    return list(found) if isinstance(found, Mapping) else []


def _package(plan: Plan, name: str) -> str:
    found = plan.provenance.get("packages")
    return str(found.get(name)) if isinstance(found, Mapping) else "not recorded"


def _parameters(chosen: Sequence[ConfigurationResult]) -> tuple[Line, ...]:
    """Return the resolved parameters that differ; `–` where a run does not use one."""
    flat = [_flat(result) for result in chosen]
    names = dict.fromkeys(name for own in flat for name in own)
    lines = [Line(name, tuple(_text(own[name]) if name in own else "–" for own in flat)) for name in names]
    return tuple(line for line in lines if line.differs)


def _flat(result: ConfigurationResult) -> dict[str, Any]:
    run = result.runs[0]
    own = {f"{group}.{name}": value for group, fields in run.resolved.items() for name, value in fields.items()}
    return {"training type": run.training_type, **own}


def _text(value: Any) -> str:
    return level_text(value) if isinstance(value, str | int | float | None) else str(value)


def _on_system(
    experiments: Sequence[ExperimentData],
    system: str,
    chosen: Sequence[ConfigurationResult],
    properties: Sequence[Line],
    margin: float | None,
) -> SystemComparison:
    metric = ranking_metric(experiments[0])
    results = (
        Line("configurations", tuple(_count(data, system) for data in experiments)),
        Line(f"mean {metric}", tuple(_mean(result) for result in chosen)),
        Line("success", tuple(_rate(result) for result in chosen)),
        Line("runs", tuple(f"{len(r.values)} of {len(r.runs)}, {r.failed} failed" for r in chosen)),
    )
    obstacle = _obstacle(experiments, system, chosen)
    claims = () if obstacle else _claims(experiments[0], metric, [d.id for d in experiments], chosen, margin)
    unequal = tuple(line.name for line in properties if line.differs and line.name not in {"planned", "type"})
    return SystemComparison(system, results, claims, obstacle, unequal)


def _count(data: ExperimentData, system: str) -> str:
    number = len({run.configuration for run in data.runs if system in run.systems})
    return "1" if number == 1 else f"best of {number}"


def _mean(result: ConfigurationResult) -> str:
    if result.mean is None:
        return "no result"
    return number_text(result.mean, 4) + ("" if result.interval is None else f" {interval_text(*result.interval)}")


def _rate(result: ConfigurationResult) -> str:
    rate = result.average("success_rate")
    return "not measured" if rate is None else share_text(rate)


def _obstacle(experiments: Sequence[ExperimentData], system: str, chosen: Sequence[ConfigurationResult]) -> str:
    """Return why the results cannot be tested; empty if they can."""
    metrics = {ranking_metric(data) for data in experiments}
    if len(metrics) > 1 or len({data.analysis.scale for data in experiments}) > 1:
        return f"the experiments have different primary metrics ({listed(sorted(metrics))})"
    if len({data.plan.shared.reference.get(system) for data in experiments}) > 1:
        return "the runs were not evaluated on the same test cases, with the same code"
    if len({data.analysis.mode(system) for data in experiments}) > 1:
        return "the experiments have different primary modes of evaluation"
    pending = [data.id for data in experiments if any(run.pending for run in data.runs)]
    if pending:
        return f"{listed(pending)} is not finished"
    several = [data.id for data in experiments if _count(data, system) != "1"]
    if several:
        advice = f"setpoint experiment confirm {several[0]}"
        return f"the best of several was selected by these results ({listed(several)}); confirm it first: {advice}"
    few = [data.id for data, result in zip(experiments, chosen, strict=True) if len(result.values) < LEAST_RUNS]
    if few:
        return f"{listed(few)} has fewer than {LEAST_RUNS} runs with a result"
    stages = [run.evaluation(system) for result in chosen for run in result.runs]
    if len(set(stages)) < len(stages):
        return f"they share {counted(len(stages) - len(set(stages)), 'run')}"
    return ""


def _claims(
    first: ExperimentData,
    metric: str,
    names: Sequence[str],
    chosen: Sequence[ConfigurationResult],
    margin: float | None,
) -> tuple[Claim, ...]:
    """Test the runs of the experiments as one table, whose only factor is the experiment."""
    rows = [
        {EXPERIMENT: name, "y": "" if value is None else repr(value)}
        for name, result in zip(names, chosen, strict=True)
        for run in result.runs
        for value in [_value(result, run.name, metric)]
    ]
    quantity = first.quantity(metric)
    analysis = first.analysis
    question = TableQuestion(
        "y",
        (EXPERIMENT,),
        larger_is_better=quantity.better == "larger",
        logarithmic=analysis.scale == "log",
        alpha=analysis.alpha,
        equivalence=margin,
    )
    data = replace(table_experiment(rows, question, "comparison"), words=Words())
    return tuple(of_kind(experiment_claims(data), *ANSWERS))


def _value(result: ConfigurationResult, run: str, metric: str) -> float | None:
    found = next(each for each in result.runs if each.name == run)
    return (found.outcomes[result.system].final or {}).get(metric) if found.state.ok else None
