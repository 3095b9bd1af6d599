"""The same tests done otherwise: failed runs as the worst outcome, the other scale, exact rearrangement.

A claim that the main analysis supports and one of these does not is no more than suggestive. Failures must be confirmed
whatever the p-value; the other scale decides about interactions, which it can make and remove, about effects near the
level, and where it clearly shows none; exact tests are asked near the level only.
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
"""A p-value above alpha by this divisor is near the level: for exact tests, and for the other scale."""
CLEARLY = 4.0
"""Multiple of alpha above which a p-value on the other scale contradicts an effect that is far from the level."""


@dataclass(frozen=True)
class Analysis:
    """Another analysis of the same cells: a description of what differs, and its cells."""

    name: str
    cells: Cells


@dataclass(frozen=True)
class Robustness:
    """Other analyses of a factorial whose cells exist, of all systems or of one; each is made when it is asked for."""

    data: ExperimentData
    design: Factorial
    system: str | None = None

    @cached_property
    def failures(self) -> tuple[Analysis, ...]:
        """With failed runs as the worst outcomes; empty where no run failed."""
        return tuple(each for each in self._with_failures if each is not None)

    @property
    def untestable(self) -> bool:
        """Whether runs failed and those analyses cannot be made."""
        return None in self._with_failures

    @cached_property
    def _with_failures(self) -> list[Analysis | None]:
        return _with_failures(self.data, self.design, self.system)

    @cached_property
    def other_scale(self) -> Analysis | None:
        """Without the logarithm, or with it; None where values have none."""
        return _other_scale(self.data, self.design, self.system)

    @cached_property
    def exact(self) -> ExactTest | None:
        """Of the main effect of a single factor; None where there are several, or too many levels."""
        return _exact(self.design)


def _with_failures(data: ExperimentData, design: Factorial, system: str | None) -> list[Analysis | None]:
    """By ranks and with the worst value; nothing where no run failed, None where cells would be without spread."""
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
    """Of a single factor: within blocks where all are complete, else of two levels that share nothing."""
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
    """What keeps a significant contrast from being supported: by failed runs, and by other scales and exact tests.

    Args:
        other: the other analyses of its cells.
        weights: of the contrast.
        compared: its result in the main analysis.
        raw_p: before correction.
        alpha: the level.
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
    """That a contrast is not significant in another analysis, at `at` times `alpha`, or the other way round."""
    contrast = way.cells.contrast(weights)
    if not contrast.estimable:
        return f"{way.name}, the runs show no spread"
    p = min(1.0, factor * t_comparison(contrast, 1, alpha).p_adjusted)
    if p >= at * alpha:
        return f"{way.name}, {p_text(p, alpha)}"
    return f"{way.name}, the other is better" if contrast.value * value < 0.0 else ""
