"""Alternative analyses of the same tests: failed runs as worst outcomes, the other scale, exact permutation tests.

A significant claim that one of them does not confirm is suggestive. Failures must always be confirmed. The other scale
must confirm interactions, which a transformation can create or remove, and effects close to the significance level; far
from it, it must not clearly contradict. Exact tests are consulted close to the significance level only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from setpoint.analysis.data.design import Factorial, Observation, Scale, observe
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.runs.reliability import failed_itself
from setpoint.analysis.statistics.cells import Cells
from setpoint.analysis.statistics.exact import ExactTest, two_samples, within_blocks
from setpoint.analysis.statistics.failed_runs import FAILURES_AS_OUTCOMES
from setpoint.analysis.statistics.levels import Comparison, t_comparison
from setpoint.formatting import p_text
from setpoint.seeding import generator

NEAR, VERY_NEAR = 2.0, 1.25
"""A p-value above alpha divided by this is close to the significance level (exact tests; other scale)."""
CLEARLY = 4.0
"""Multiple of alpha above which the p-value on the other scale contradicts an effect far from the level."""


@dataclass(frozen=True)
class Analysis:
    """Another analysis of the same cells: a description of what differs, and its cells."""

    name: str
    cells: Cells


@dataclass(frozen=True)
class Robustness:
    """Alternative analyses of a factorial with cells, for all systems or for one; computed on demand."""

    data: ExperimentData
    design: Factorial
    system: str | None = None

    @cached_property
    def failures(self) -> tuple[Analysis, ...]:
        """Return the analyses with failed runs as worst outcomes; empty if no run failed."""
        return tuple(each for each in self._with_failures if each is not None)

    @property
    def untestable(self) -> bool:
        """Return whether runs failed and such an analysis is impossible."""
        return None in self._with_failures

    @cached_property
    def _with_failures(self) -> list[Analysis | None]:
        return _with_failures(self.data, self.design, self.system)

    @cached_property
    def other_scale(self) -> Analysis | None:
        """Return the analysis without (or with) logarithms; None if some values have none."""
        return _other_scale(self.data, self.design, self.system)

    @cached_property
    def exact(self) -> ExactTest | None:
        """Return the exact test of the main effect of a single factor; None if there is no such test."""
        return _exact(self.design)


def _with_failures(data: ExperimentData, design: Factorial, system: str | None) -> list[Analysis | None]:
    """Return the analyses by ranks and by worst value; empty without failures, None where values do not vary."""
    ended = [o for o in _observed(data, design.scale, design, system) if o.value is not None or failed_itself(o.run)]
    if all(o.value is not None for o in ended):
        return []
    found: list[Analysis | None] = []
    for name, way in FAILURES_AS_OUTCOMES:
        values = np.array([np.nan if o.value is None else o.value for o in ended])
        for name_of_system in {o.system for o in ended}:
            here = np.array([o.system == name_of_system for o in ended])
            if np.isnan(values[here]).all():
                return [None]
            values[here] = way(values[here])
        cells = design.cells_of(_valued(ended, values), unit=1.0)
        found.append(None if cells is None else Analysis(name, cells))
    return found


def _observed(data: ExperimentData, scale: Scale, design: Factorial, system: str | None) -> list[Observation]:
    return [o for o in observe(data, scale) if design.holds(o) and (system is None or o.system == system)]


def _valued(observations: Sequence[Observation], values: np.ndarray) -> list[Observation]:
    return [replace(o, value=float(value)) for o, value in zip(observations, values, strict=True)]


def _other_scale(data: ExperimentData, design: Factorial, system: str | None) -> Analysis | None:
    scale = Scale(design.scale.quantity, not design.scale.logarithmic)
    observed = [o for o in _observed(data, scale, design, system) if o.run.state == "ok"]
    values = [o.value for o in observed if o.value is not None]
    if len(values) < len(observed):
        return None
    name = "on logarithms" if scale.logarithmic else "without logarithms"
    with np.errstate(over="ignore", invalid="ignore"):
        cells = design.cells_of(observed, unit=scale.unit(np.array(values)))
    return None if cells is None or not np.isfinite(cells.means).all() else Analysis(name, cells)


def _exact(design: Factorial) -> ExactTest | None:
    """Return the exact test of a single factor: within complete blocks, or of two independent levels."""
    if len(design.factors) != 1 or design.replicates[0] < 2:
        return None
    cell, values = design.own_cells, design.values
    labels = [o.cluster for o in design.observations]
    levels = len(design.levels[0])
    blocks = {label: k for k, label in enumerate(sorted(set(labels)))}
    rng = generator("exact")
    if len(blocks) < len(labels):
        if len(labels) < levels * len(blocks):
            return None
        table = np.zeros((levels, len(blocks)))
        table[cell, [blocks[label] for label in labels]] = values
        return within_blocks(table, rng)
    return two_samples(values[cell == 0].tolist(), values[cell == 1].tolist(), rng) if levels == 2 else None


def contrast_doubts(
    other: Robustness, weights: np.ndarray, compared: Comparison, raw_p: float, alpha: float
) -> tuple[list[str], list[str]]:
    """Return the reasons why a significant contrast is not supported: failed runs, and other scales and exact tests.

    Args:
        other: alternative analyses of its cells.
        weights: weights of the contrast, (C,).
        compared: its result in the main analysis.
        raw_p: unadjusted p-value.
        alpha: significance level.
    """
    if compared.p_adjusted >= alpha:
        return [], []
    factor = compared.p_adjusted / raw_p if raw_p > 0.0 else 1.0
    failures = ["it cannot be tested with failed runs ranked worst"] if other.untestable else []
    failures += [_unconfirmed(way, weights, compared.value, factor, alpha) for way in other.failures]
    others: list[str] = []
    if other.other_scale is not None:
        at = 1.0 if compared.p_adjusted >= alpha / VERY_NEAR else CLEARLY
        others.append(_unconfirmed(other.other_scale, weights, compared.value, factor, alpha, at))
    exact = other.exact if compared.p_adjusted >= alpha / NEAR else None
    if exact is not None and exact.least * factor < alpha <= exact.p * factor:
        others.append(f"an exact test gives {p_text(min(1.0, exact.p * factor), alpha)}")
    return [text for text in failures if text], [text for text in others if text]


def _unconfirmed(way: Analysis, weights: np.ndarray, value: float, factor: float, alpha: float, at: float = 1.0) -> str:
    """Return a note if a contrast is not significant at `at` × `alpha` in another analysis, or has the other sign."""
    contrast = way.cells.contrast(weights)
    if not contrast.estimable:
        return f"{way.name}, the runs do not vary"
    p = min(1.0, factor * t_comparison(contrast, 1, alpha).p_adjusted)
    if p >= at * alpha:
        return f"{way.name}, {p_text(p, alpha)}"
    return f"{way.name}, the other is better" if contrast.value * value < 0.0 else ""
