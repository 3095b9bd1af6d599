"""Claims of a transfer experiment: training that starts from another system's adapter against training from the base.

Transfer may help or harm on each target. All arms train for the same number of steps on the target; the cost of the
source is not counted.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from setpoint.analysis.arms.comparisons import arm_claims, with_notes
from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Factorial, factorial
from setpoint.analysis.data.evidence import SourceEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.statistics.cells import Cells, replicated_cells
from setpoint.analysis.statistics.levels import t_comparison
from setpoint.formatting import (
    change_text,
    counted,
    level_text,
    p_text,
)

START = "start"
BASE = "base"
SOURCE = "source"
LORA_LABELS = {"rank": "LoRA rank", "scale": "LoRA scale", "dropout": "LoRA dropout"}
LEAST_SOURCES = 3
"""Source adapters needed for a claim about training on the source rather than about single adapters."""


def transfer_claims(data: ExperimentData) -> list[Claim]:
    """Compare every starting point with the base on every target, and make a claim about training on the source."""
    targets = [s for s in data.systems if any(s in run.systems and run.level(START) != BASE for run in data.runs)]
    on_targets = replace(
        data,
        plan=data.plan.model_copy(update={"systems": tuple(targets)}),
        runs=tuple(run for run in data.runs if not set(run.systems).isdisjoint(targets)),
    )
    notes = {level_text(level): _start_notes(on_targets, level) for level in _adapter_levels(on_targets)}
    return [
        *with_notes(arm_claims(on_targets, START, reference=BASE), notes),
        *(_source_claim(on_targets, system) for system in targets),
    ]


def _adapter_levels(data: ExperimentData) -> list[Level]:
    """Return the starting points that were not trained in this experiment."""
    return list(dict.fromkeys(run.level(START) for run in data.runs if run.level(START) not in {BASE, SOURCE}))


def _start_notes(data: ExperimentData, level: Level) -> list[str]:
    """Name the adapters of a starting point, and the parameters that confound it with the start from the base."""
    label = level_text(level)
    runs = {start: [run for run in data.runs if run.level(START) == start] for start in (level, BASE)}
    adapters = list(dict.fromkeys(run.start or "" for run in runs[level]))
    notes = [f"start {label}: adapter {' and '.join(adapters)} (see setpoint models list --detailed)"]
    for name, parameter in LORA_LABELS.items():
        own, of_base = ({run.resolved.get("lora", {}).get(name) for run in runs[start]} for start in (level, BASE))
        if own != of_base:
            notes.append(
                f"start {label} has {parameter} {_values(own)}, but runs from the base have {_values(of_base)}: the "
                f"start is confounded with the {parameter}"
            )
    return notes


def _values(found: Collection[Level]) -> str:
    return " or ".join(sorted(level_text(value) for value in found))


def _adapter(run: RunResult) -> str:
    """Return what the run started from: a stage id, or the name of an adapter."""
    return run.start or level_text(run.level(START))


def _source_claim(data: ExperimentData, system: str) -> Claim:
    """Test whether training on the source helps: each adapter counts as one observation."""
    kind, heading = ClaimKind.SOURCE, f"Training on the source, {system}"
    started = [run for run in data.runs if run.level(START) != BASE and system in run.systems]
    adapters = list(dict.fromkeys(_adapter(run) for run in started))
    if len(adapters) < LEAST_SOURCES:
        reason = (
            f"{counted(len(adapters), 'source adapter')} {'is' if len(adapters) == 1 else 'are'} too few for a claim "
            f"about training on the source (at least {LEAST_SOURCES} seeds needed)"
        )
        return unanswered(kind, heading, Obstacle(Status.REFUSED, reason), system=system)
    design = factorial(data, data.analysis.primary_metric, system=system)
    cells = _adapters_and_base(design)
    if isinstance(cells, str):
        return unanswered(kind, heading, Obstacle(Status.NOT_TESTABLE, cells), system=system, n_runs=design.n_runs)
    compared = t_comparison(cells.contrast(np.array([1.0, -1.0])), 1, data.analysis.alpha)
    scale = design.scale
    improvement, reach = scale.improvement(compared.value), scale.improvement_interval(compared.interval)
    change = change_text(improvement, reach, relative=scale.logarithmic)
    facts = f"{change}, {p_text(compared.p_adjusted)}"
    facts += f", {counted(len(adapters), 'adapter')}"
    supported = compared.p_adjusted < data.analysis.alpha and not any(run.pending for run in data.runs)
    reason = "the mean over adapters differs from the base" if supported else "not statistically significant"
    answer = "helps" if improvement > 0.0 else "harms"
    return Claim(
        kind=kind,
        system=system,
        heading=heading,
        statement=f"{answer} ({facts})" if supported else f"not resolved: {facts}; {reason}",
        status=Status.SUPPORTED if supported else Status.UNRESOLVED,
        reason=reason,
        method="Welch t test of the adapters' means against runs from the base (each adapter is one observation)",
        n_runs=design.n_runs,
        estimate=improvement,
        interval=reach,
        p_adjusted=compared.p_adjusted,
        evidence=SourceEvidence(tuple(adapters)),
    )


def _adapters_and_base(design: Factorial) -> Cells | str:
    """Return two cells (one mean per adapter, and the runs from the base), or why they cannot be compared."""
    values: dict[str, list[float]] = {}
    base = []
    for o in design.observations:
        if o.value is not None and o.level(START) == BASE:
            base.append(o.value)
        elif o.value is not None:
            values.setdefault(_adapter(o.run), []).append(o.value)
    # Runs from one adapter are correlated, so they enter as one mean; Welch's test then allows unequal variances.
    means = [float(np.mean(found)) for found in values.values()]
    if len(base) < 2 or len(means) < LEAST_SOURCES:
        return (
            f"too few results: {counted(len(base), 'finished run')} from the base (2 needed) and "
            f"{counted(len(means), 'adapter')} ({LEAST_SOURCES} needed)"
        )
    cell = np.repeat([0, 1], [len(means), len(base)])
    cells = replicated_cells((2,), cell, np.array([*means, *base]), [str(k) for k in range(len(cell))])
    return cells if cells.has_spread else "the runs do not vary"
