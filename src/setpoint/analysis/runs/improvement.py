"""Improvement of a training stage on its starting point: SFT on the base, DAgger and GRPO on their parents.

The base is a single fixed model, so only trained runs contribute variance. An SFT stage that is shared by several runs
is one observation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Scale
from setpoint.analysis.data.evidence import StageEvidence
from setpoint.analysis.data.experiment import ExperimentData, RunOutcome, RunResult
from setpoint.analysis.data.quantities import Metrics
from setpoint.analysis.data.subject import OneCell
from setpoint.analysis.data.verdict import verdict
from setpoint.analysis.statistics.cells import Cells, Contrast, replicated_cells
from setpoint.analysis.statistics.effects import anova_type_test
from setpoint.analysis.statistics.family import family_of
from setpoint.analysis.statistics.levels import Comparison
from setpoint.formatting import (
    change_text,
    counted,
    level_text,
    listed,
    p_text,
)

_NO_SPREAD = Obstacle(Status.NOT_TESTABLE, "the differences do not vary between runs")


@dataclass(frozen=True)
class _Cell:
    """Runs of one recipe: differences of the metric, after minus before, one per independent run."""

    system: str
    label: str
    differences: tuple[float, ...]
    without_logarithm: int


@dataclass(frozen=True)
class _StageQuestion:
    kind: ClaimKind
    heading: str
    stage: str


SFT = _StageQuestion(ClaimKind.SFT_AGAINST_BASE, "SFT against the base", "SFT")
DAGGER = _StageQuestion(ClaimKind.DAGGER_AGAINST_SFT, "DAgger against its SFT parent", "DAgger")
GRPO = _StageQuestion(ClaimKind.GRPO_AGAINST_SFT, "GRPO against its SFT parent", "GRPO")


def improvement_claims(data: ExperimentData) -> list[Claim]:
    """Make the claims over all cells of a system and for each cell, for every stage."""
    primary = data.quantity(data.analysis.primary_metric)
    metric = primary if primary.source != "measured" else data.quantity("final_error")
    scale = Scale(metric, data.analysis.scale == "log")
    cells = {
        SFT: _sft_cells(data, scale),
        DAGGER: _later_cells(data, scale, "dagger", lambda o: (o.after_sft, o.after_dagger)),
        GRPO: _later_cells(data, scale, "grpo", lambda o: (o.after_dagger or o.after_sft, o.final)),
    }
    return [claim for question, found in cells.items() for claim in _claims(question, found, scale, data)]


def _sft_cells(data: ExperimentData, scale: Scale) -> list[_Cell]:
    """Return one cell for each set of configurations that share their SFT stages."""
    by_stage: dict[str, list[RunResult]] = {}
    for run in data.runs:
        if "sft" in run.stages:
            by_stage.setdefault(run.stages["sft"], []).append(run)
    by_recipe: dict[tuple[int, ...], list[list[RunResult]]] = {}
    for runs in by_stage.values():
        by_recipe.setdefault(tuple(sorted({run.configuration for run in runs})), []).append(runs)
    return [
        _cell(system, _common_label([run for runs in groups for run in runs], data), pairs, scale)
        for groups in by_recipe.values()
        for system in data.systems
        if (pairs := [pair for runs in groups if (pair := _first_pair(runs, system)) is not None])
    ]


def _later_cells(
    data: ExperimentData,
    scale: Scale,
    role: str,
    ends: Callable[[RunOutcome], tuple[Metrics | None, Metrics | None]],
) -> list[_Cell]:
    """Return one cell for each configuration whose stage in `role` continues an SFT model.

    Args:
        ends: metrics before and after that stage.
    """
    by_configuration: dict[int, list[RunResult]] = {}
    for run in data.runs:
        if "sft" in run.stages and role in run.stages:
            by_configuration.setdefault(run.configuration, []).append(run)
    return [
        _cell(system, _common_label(runs, data), pairs, scale)
        for runs in by_configuration.values()
        for system in data.systems
        if (pairs := [(b, a) for b, a in map(ends, _outcomes(runs, system)) if b and a])
    ]


def _outcomes(runs: Iterable[RunResult], system: str) -> list[RunOutcome]:
    return [run.outcomes[system] for run in runs if system in run.outcomes]


def _first_pair(runs: Sequence[RunResult], system: str) -> tuple[Metrics, Metrics] | None:
    """Return base and after-SFT metrics of the runs that share one SFT stage."""
    return next(((o.base, o.after_sft) for o in _outcomes(runs, system) if o.base and o.after_sft), None)


def _common_label(runs: Sequence[RunResult], data: ExperimentData) -> str:
    """Return the swept values that distinguish `runs` from the others."""
    told = []
    for factor in data.analysis.factors:
        own = list(dict.fromkeys(run.level(factor) for run in runs))
        if len(own) == 1 or len(own) < len({run.level(factor) for run in data.runs}):
            told.append(f"{factor}={listed([level_text(level) for level in own], 'or')}")
    return ", ".join(told) or "all runs"


def _cell(system: str, label: str, pairs: Sequence[tuple[Metrics, Metrics]], scale: Scale) -> _Cell:
    name = scale.quantity.name
    values = [(before.get(name), after.get(name)) for before, after in pairs]
    measured = [(before, after) for before, after in values if before is not None and after is not None]
    usable = [(b, a) for b, a in measured if not scale.logarithmic or min(a, b) > 0.0]
    differences = tuple(scale.transform(after) - scale.transform(before) for before, after in usable)
    return _Cell(system, label, differences, len(measured) - len(usable))


def _claims(question: _StageQuestion, cells: Sequence[_Cell], scale: Scale, data: ExperimentData) -> list[Claim]:
    by_system = {system: [cell for cell in cells if cell.system == system] for system in data.systems}
    by_system = {system: family for system, family in by_system.items() if family}
    overall = [
        _Entry(
            system,
            "",
            _overall(family),
            tuple(d for cell in family for d in cell.differences),
            len(family),
            _unevenness(family, scale, data.analysis.alpha),
        )
        for system, family in by_system.items()
    ]
    single = [_Entry(cell.system, cell.label, _difference(cell), cell.differences) for cell in cells]
    return [*_family_claims(question, overall, scale, data), *_family_claims(question, single, scale, data)]


def _difference(cell: _Cell) -> Contrast | Obstacle:
    """Return the mean difference of one cell with its own standard error, or why it is not testable."""
    count = len(cell.differences)
    if cell.without_logarithm:
        return _no_logarithm(cell.without_logarithm)
    if count < 2:
        return Obstacle(Status.NOT_TESTABLE, "one run: no variance estimate")
    deviation = float(np.std(cell.differences, ddof=1))
    contrast = Contrast(float(np.mean(cell.differences)), deviation / count**0.5, count - 1.0)
    return contrast if contrast.estimable else _NO_SPREAD


def _overall(cells: Sequence[_Cell]) -> Contrast | Obstacle:
    """Return the mean over the cells of a system, with unequal variances, or why it is not testable."""
    without = sum(cell.without_logarithm for cell in cells)
    if without:
        return _no_logarithm(without)
    if min(len(cell.differences) for cell in cells) < 2:
        return Obstacle(Status.NOT_TESTABLE, "one run per cell: no variance estimate")
    contrast = _replicated(cells).contrast(np.full(len(cells), 1.0 / len(cells)))
    return contrast if contrast.estimable else _NO_SPREAD


def _replicated(cells: Sequence[_Cell]) -> Cells:
    position = np.repeat(np.arange(len(cells)), [len(cell.differences) for cell in cells])
    values = np.concatenate([cell.differences for cell in cells])
    return replicated_cells((len(cells),), position, values, [str(k) for k in range(len(values))])


def _unevenness(cells: Sequence[_Cell], scale: Scale, alpha: float) -> str:
    """Return a note if the effect differs significantly between cells, and where it is largest; else empty."""
    if len(cells) < 2 or isinstance(_overall(cells), Obstacle):
        return ""
    replicated = _replicated(cells)
    p = anova_type_test(replicated, (0,)).p
    if p >= alpha:
        return ""
    most = cells[int(np.argmax(np.abs(replicated.means)))]
    change = change_text(scale.improvement(float(np.mean(most.differences))), None, relative=scale.logarithmic)
    return f"the effect differs between cells ({p_text(p, alpha)}): {change} with {most.label}"


def _no_logarithm(runs: int) -> Obstacle:
    return Obstacle(Status.REFUSED, f"the metric is zero or negative in {counted(runs, 'run')}, so it has no logarithm")


@dataclass(frozen=True)
class _Entry:
    """One comparison of a family.

    Attributes:
        label: the cell; empty for the mean over all `cells`.
        uneven: note that those cells differ; empty if they do not.
    """

    system: str
    label: str
    difference: Contrast | Obstacle
    observed: tuple[float, ...]
    cells: int = 1
    uneven: str = ""

    @property
    def n_runs(self) -> int:
        return len(self.observed)


def _family_claims(
    question: _StageQuestion, entries: Sequence[_Entry], scale: Scale, data: ExperimentData
) -> list[Claim]:
    """Make the claims, with Holm's correction over testable entries, and intervals that invert the adjusted tests."""
    tested = {k: entry.difference for k, entry in enumerate(entries) if isinstance(entry.difference, Contrast)}
    results = family_of(tested, data.analysis.alpha)
    return [_claim(question, entry, results.get(k), scale, data) for k, entry in enumerate(entries)]


def _claim(
    question: _StageQuestion, entry: _Entry, compared: Comparison | None, scale: Scale, data: ExperimentData
) -> Claim:
    subject = OneCell(entry.label) if entry.label else None
    which = f", {entry.label}" if entry.label else ", mean of all cells" if entry.cells > 1 else ""
    heading = f"{question.heading}, {entry.system}{which}"
    evidence = StageEvidence(scale.quantity.name)
    method = "t on differences of runs, Holm over the cells"
    if compared is None:
        obstacle = entry.difference if isinstance(entry.difference, Obstacle) else _NO_SPREAD
        not_tested = unanswered(
            question.kind,
            heading,
            obstacle,
            subject=subject,
            system=entry.system,
            observed=_observed_text(entry, scale),
            method=method,
            n_runs=entry.n_runs,
        )
        return replace(not_tested, evidence=evidence)
    improvement, interval = scale.improvement(compared.value), scale.improvement_interval(compared.interval)
    change = change_text(improvement, interval, relative=scale.logarithmic)
    facts = f"{scale.quantity.label} {change}, {p_text(compared.p_adjusted)}, {counted(entry.n_runs, 'run')}"
    shown = f"{question.stage} effect exceeds run-to-run variability"
    status, reason = verdict(data, compared.p_adjusted, shown, doubts=[entry.uneven] if entry.uneven else [])
    answer = f"{question.stage} helps" if improvement > 0 else f"{question.stage} harms"
    return Claim(
        kind=question.kind,
        subject=subject,
        system=entry.system,
        heading=heading,
        statement=f"{answer} ({facts})" if status is Status.SUPPORTED else f"not resolved: {facts}; {reason}",
        status=status,
        reason=reason,
        method=method,
        n_runs=entry.n_runs,
        estimate=improvement,
        interval=interval,
        p_adjusted=compared.p_adjusted,
        evidence=evidence,
    )


def _observed_text(entry: _Entry, scale: Scale) -> str:
    """Return the observed mean as the first half of a sentence; empty if there is none."""
    if not entry.observed:
        return ""
    improvement = scale.improvement(float(np.mean(entry.observed)))
    return f"{scale.quantity.label} {change_text(improvement, None, relative=scale.logarithmic)} as observed, but "
