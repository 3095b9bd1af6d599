"""Print false positive rate and power of the test of one factor, beside F, Welch and Greenhouse–Geisser.

The table is kept in docs/explanation/statistics.md. Usage: python benchmarks/validity.py [TABLES]
"""

import sys
from dataclasses import dataclass

import numpy as np
from scipy import stats

from setpoint.analysis.statistics.blocks import blocked_cells
from setpoint.analysis.statistics.cells import replicated_cells
from setpoint.analysis.statistics.effects import anova_type_test
from setpoint.seeding import generator
from setpoint.truth.competitors import greenhouse_geisser, welch_anova

ALPHA = 0.05
WIDE = {False: 5.0, True: 3.0}
"""Standard deviation of the last level in the unequal world, for independent runs and for blocks."""


@dataclass(frozen=True)
class Design:
    """One factor with `levels` levels and `runs` runs of each, in blocks or independent."""

    levels: int
    runs: int
    blocks: bool
    effect: float

    @property
    def text(self) -> str:
        """Return the design as text."""
        return f"{self.levels} levels " + (f"in {self.runs} blocks" if self.blocks else f"with {self.runs} runs each")


DESIGNS = (
    Design(3, 3, False, 2.0),
    Design(3, 5, False, 1.5),
    Design(3, 10, False, 1.0),
    Design(5, 5, False, 1.5),
    Design(3, 3, True, 2.0),
    Design(3, 5, True, 1.0),
    Design(3, 8, True, 0.8),
    Design(4, 5, True, 1.0),
    Design(5, 8, True, 0.8),
)


def p_values(design: Design, table: np.ndarray) -> tuple[float, float, float]:
    """Return the p-values of the F test, of Setpoint and of the rival that allows unequal variances."""
    levels, runs = table.shape
    cell = np.repeat(np.arange(levels), runs)
    if not design.blocks:
        cells = replicated_cells((levels,), cell, table.ravel(), [str(k) for k in range(table.size)])
        return float(stats.f_oneway(*table).pvalue), anova_type_test(cells, (0,)).p, welch_anova(table)
    cells = blocked_cells((levels,), cell, table.ravel(), [str(k % runs) for k in range(table.size)])
    residual = table - table.mean(axis=1, keepdims=True)
    residual = residual - residual.mean(axis=0)
    error_df = (levels - 1) * (runs - 1)
    statistic = runs * table.mean(axis=1).var(ddof=1) / (np.sum(residual**2) / error_df)
    f_test = float(stats.f.sf(statistic, levels - 1, error_df))
    return f_test, anova_type_test(cells, (0,)).p, greenhouse_geisser(table)


def rates(design: Design, tables: int, effect: float, wide: float) -> np.ndarray:
    """Return the rejection rates of the three tests."""
    rng = generator("validity", design.text, str(effect))
    spread = np.array([1.0] * (design.levels - 1) + [wide])[:, None]
    shift = np.array([-effect] + [0.0] * (design.levels - 1))[:, None]
    share = np.sqrt(0.4) if design.blocks else 1.0
    found = []
    for _ in range(tables):
        noise = share * spread * rng.standard_normal((design.levels, design.runs))
        shared = np.sqrt(0.6) * rng.standard_normal(design.runs) if design.blocks else 0.0
        found.append(p_values(design, shift + noise + shared))
    return np.asarray(np.mean(np.array(found) < ALPHA, axis=0))


def main(tables: int) -> None:
    """Print the table in Markdown."""
    print(
        "| design | F, unequal | Setpoint, unequal | rival, unequal | power of Setpoint / F | power of the rival / F |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for design in DESIGNS:
        false = rates(design, tables, 0.0, WIDE[design.blocks])
        power = rates(design, tables, design.effect, 1.0)
        cells = [*(f"{rate:.3f}"[1:] for rate in false), *(f"{rate / power[0]:.2f}"[-3:] for rate in power[1:])]
        print(f"| {design.text} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
