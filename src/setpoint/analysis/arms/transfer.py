"""Whether training that starts from another system's adapter beats training from the base.

On every target and both ways: that transfer harms is a result like any other. All arms have the same steps on the
target; what the source had cost is not counted.
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
LORA_WORDS = {"rank": "LoRA rank", "scale": "LoRA scale", "dropout": "LoRA dropout"}
LEAST_SOURCES = 3
"""Adapters of a source from which its training, and not one adapter, can be judged."""


def transfer_claims(data: ExperimentData) -> list[Claim]:
    """Every starting point against the base on every target, and what that says about the source."""
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
    """The starting points that are no training of this experiment."""
    return list(dict.fromkeys(run.level(START) for run in data.runs if run.level(START) not in {BASE, SOURCE}))


def _start_notes(data: ExperimentData, level: Level) -> list[str]:
    """Which adapters stand behind a starting point, and what else than the start tells their runs from the base's."""
    label = level_text(level)
    begun = {start: [run for run in data.runs if run.level(START) == start] for start in (level, BASE)}
    adapters = list(dict.fromkeys(run.start or "" for run in begun[level]))
    notes = [f"start {label} is adapter {' and '.join(adapters)}, see setpoint models list --detailed"]
    for name, words in LORA_WORDS.items():
        own, of_base = ({run.resolved.get("lora", {}).get(name) for run in begun[start]} for start in (level, BASE))
        if own != of_base:
            notes.append(
                f"start {label} keeps its {words} of {_values(own)}, where runs from the base have {_values(of_base)}: "
                "what differs between them is not their start alone"
            )
    return notes


def _values(found: Collection[Level]) -> str:
    return " or ".join(sorted(level_text(value) for value in found))


def _adapter(run: RunResult) -> str:
    """What the run started from: a stage, or the name of an adapter."""
    return run.start or level_text(run.level(START))


def _source_claim(data: ExperimentData, system: str) -> Claim:
    """Whether training on the source helps: its adapters are the sample."""
    kind, heading = ClaimKind.SOURCE, f"Starting from the source, {system}, new adapters of it"
    started = [run for run in data.runs if run.level(START) != BASE and system in run.systems]
    adapters = list(dict.fromkeys(_adapter(run) for run in started))
    if len(adapters) < LEAST_SOURCES:
        reason = (
            f"{counted(len(adapters), 'adapter')} of the source cannot stand for its training, of which each is one "
            f"random draw; at least {LEAST_SOURCES} source seeds are needed"
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
    reason = "the mean over adapters differs from the base" if supported else "the difference may be chance"
    answer = "it helps" if improvement > 0.0 else "it harms"
    return Claim(
        kind=kind,
        system=system,
        heading=heading,
        statement=f"{answer} ({facts})" if supported else f"not resolved: {facts}; {reason}",
        status=Status.SUPPORTED if supported else Status.UNRESOLVED,
        reason=reason,
        method="Welch t of the adapters' means against the base's runs: the adapter is the unit",
        n_runs=design.n_runs,
        estimate=improvement,
        interval=reach,
        p_adjusted=compared.p_adjusted,
        evidence=SourceEvidence(tuple(adapters)),
    )


def _adapters_and_base(design: Factorial) -> Cells | str:
    """Two cells: one mean for each adapter, and the base's runs; or why there are none."""
    values: dict[str, list[float]] = {}
    base = []
    for o in design.observations:
        if o.value is not None and o.level(START) == BASE:
            base.append(o.value)
        elif o.value is not None:
            values.setdefault(_adapter(o.run), []).append(o.value)
    means = [float(np.mean(found)) for found in values.values()]
    if len(base) < 2 or len(means) < LEAST_SOURCES:
        return (
            f"{counted(len(base), 'finished run')} from the base and {counted(len(means), 'adapter')} with a result, "
            f"where 2 and {LEAST_SOURCES} are needed"
        )
    cell = np.repeat([0, 1], [len(means), len(base)])
    cells = replicated_cells((2,), cell, np.array([*means, *base]), [str(k) for k in range(len(cell))])
    return cells if cells.has_spread else "the runs show no spread"
