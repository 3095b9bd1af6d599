"""Print false findings and power of Setpoint and of other packages on the same simulated tables.

Packages: autorank, scikit-posthocs, pingouin and baycomp (package extra `benchmarks`). All get the same values, on the
logarithmic scale. The table is kept in docs/explanation/statistics.md. Usage: python benchmarks/peers.py [TABLES]
"""

import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass

import numpy as np
import pandas as pd

from setpoint import analyze
from setpoint.analysis.data.claim import ClaimKind, Status
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.seeding import generator

ALPHA = 0.05
VALID = 0.075
"""Largest rate of false findings in any null world of a design at which a method counts as valid; with 500 tables, a
method at .05 exceeds it in one of a hundred worlds."""


@dataclass(frozen=True)
class Finding:
    """Whether a method finds any difference, and whether it finds that the first level is better than every other."""

    any: bool
    best: bool


@dataclass(frozen=True)
class Design:
    """One factor in blocks or with independent runs.

    Attributes:
        effect: by how many standard deviations the first level is better, in the world with an effect.
        wide: standard deviation of the last level in the unequal world.
    """

    levels: int
    runs: int
    blocks: bool
    effect: float
    wide: float

    @property
    def text(self) -> str:
        """Return the design as text."""
        return f"{self.levels} levels {f'in {self.runs} blocks' if self.blocks else f'× {self.runs} runs'}"

    def table(self, rng: np.random.Generator, *, effect: float, wide: float) -> np.ndarray:
        """Draw one table of logarithms, levels by runs."""
        spread = np.array([1.0] * (self.levels - 1) + [wide])[:, None]
        shift = np.array([-effect] + [0.0] * (self.levels - 1))[:, None]
        noise = spread * rng.standard_normal((self.levels, self.runs))
        if not self.blocks:
            return np.asarray(shift + noise)
        return np.asarray(shift + np.sqrt(0.4) * noise + np.sqrt(0.6) * rng.standard_normal(self.runs))


DESIGNS = (
    Design(2, 10, False, 1.5, 4.0),
    Design(3, 5, False, 2.0, 5.0),
    Design(5, 10, False, 1.5, 5.0),
    Design(2, 12, True, 0.8, 3.0),
    Design(3, 10, True, 0.8, 3.0),
    Design(5, 12, True, 0.8, 3.0),
)


def of_pairs(table: np.ndarray, p_values: np.ndarray) -> Finding:
    """Return the finding of a matrix of p-values of all pairs."""
    pairs = p_values[np.triu_indices(len(table), 1)]
    first = p_values[0, 1:].max() < ALPHA and int(np.argmin(table.mean(axis=1))) == 0
    return Finding(bool(pairs.min() < ALPHA), bool(first))


def setpoint_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return what `analyze` supports."""
    rows = [
        {"level": f"level {k}", "block": str(run), "y": float(np.exp(0.3 * table[k, run]))}
        for k in range(table.shape[0])
        for run in range(table.shape[1])
    ]
    found = analyze(rows, response="y", factors="level", block="block" if blocks else None).claims
    sure = [claim for claim in found if claim.status is Status.SUPPORTED]
    best = [claim.evidence for claim in sure if claim.kind is ClaimKind.OPTIMAL_LEVEL]
    return Finding(bool(sure), any(isinstance(e, LevelEvidence) and e.observed_best == "level 0" for e in best))


def autorank_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return what autorank finds; it takes rows as paired."""
    from autorank import autorank

    found = autorank(pd.DataFrame(table.T, columns=[str(k) for k in range(len(table))]), alpha=ALPHA, order="ascending")
    significant, frame = bool(found.pvalue < ALPHA), found.rankdf
    if not significant or len(table) == 2:
        return Finding(significant, significant and int(np.argmin(table.mean(axis=1))) == 0)
    if found.cd is not None:
        ranks = frame.meanrank
        return Finding(significant, bool((ranks.drop("0") - ranks["0"]).min() > found.cd))
    return Finding(significant, bool(frame.ci_upper["0"] < frame.ci_lower.drop("0").min()))


def posthocs_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return what scikit-posthocs finds: Games–Howell, or Conover's test after Friedman's with Holm's correction."""
    import scikit_posthocs

    if blocks:
        from scipy import stats

        if len(table) > 2 and stats.friedmanchisquare(*table).pvalue >= ALPHA:
            return Finding(False, False)
        found = scikit_posthocs.posthoc_conover_friedman(table.T, p_adjust="holm")
    else:
        frame = _long(table)
        found = scikit_posthocs.posthoc_games_howell(frame, val_col="y", group_col="level")
    return of_pairs(table, found.to_numpy(dtype=float))


def nemenyi_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return what scikit-posthocs finds by ranks: Dunn's test with Holm's correction, or Nemenyi's after Friedman's."""
    import scikit_posthocs

    if blocks:
        return of_pairs(table, scikit_posthocs.posthoc_nemenyi_friedman(table.T).to_numpy(dtype=float))
    found = scikit_posthocs.posthoc_dunn(_long(table), val_col="y", group_col="level", p_adjust="holm")
    return of_pairs(table, found.to_numpy(dtype=float))


def pingouin_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return what pingouin finds: Welch's ANOVA or repeated measures ANOVA (corrected), then t-tests with Holm."""
    import pingouin

    frame = _long(table)
    if blocks:
        omnibus = pingouin.rm_anova(frame, dv="y", within="level", subject="run", correction=True)
        pairs = pingouin.pairwise_tests(frame, dv="y", within="level", subject="run", padjust="holm")
    else:
        omnibus = pingouin.welch_anova(frame, dv="y", between="level")
        pairs = pingouin.pairwise_tests(frame, dv="y", between="level", padjust="holm", correction=True)
    significant = float(omnibus[_column(omnibus, "p_GG_corr", "p-GG-corr", "p_unc", "p-unc")].iloc[0]) < ALPHA
    matrix = np.ones((len(table), len(table)))
    column = _column(pairs, "p_corr", "p-corr", "p_unc", "p-unc")
    for a, b, p in zip(pairs["A"], pairs["B"], pairs[column], strict=True):
        matrix[int(a), int(b)] = matrix[int(b), int(a)] = p
    return Finding(significant, significant and of_pairs(table, matrix).best)


def baycomp_finds(table: np.ndarray, *, blocks: bool) -> Finding:
    """Return which pairs of levels differ with a posterior probability of 0.95 or more (signed-rank model)."""
    import baycomp

    best, found = True, False
    for a in range(len(table)):
        for b in range(a + 1, len(table)):
            lower, *_, higher = baycomp.two_on_multiple(-table[a], -table[b], nsamples=5000)
            found = found or max(lower, higher) >= 1.0 - ALPHA
            best = best and (a > 0 or lower >= 1.0 - ALPHA)
    return Finding(found, found and best)


def _column(frame: pd.DataFrame, *names: str) -> str:
    return next(name for name in names if name in frame.columns)


def _long(table: np.ndarray) -> pd.DataFrame:
    levels, runs = table.shape
    return pd.DataFrame(
        {"level": np.repeat(np.arange(levels), runs), "run": np.tile(np.arange(runs), levels), "y": table.ravel()}
    )


Method = Callable[..., Finding]
INDEPENDENT: Mapping[str, Method] = {
    "Setpoint": setpoint_finds,
    "scikit-posthocs (Games–Howell)": posthocs_finds,
    "scikit-posthocs (Dunn, Holm)": nemenyi_finds,
    "pingouin (Welch, t with Holm)": pingouin_finds,
}
PAIRED: Mapping[str, Method] = {
    "Setpoint": setpoint_finds,
    "autorank": autorank_finds,
    "scikit-posthocs (Conover, Holm)": posthocs_finds,
    "scikit-posthocs (Nemenyi)": nemenyi_finds,
    "pingouin (corrected ANOVA, t with Holm)": pingouin_finds,
    "baycomp (P ≥ .95)": baycomp_finds,
}


def measure(design: Design, tables: int) -> Iterator[tuple[str, tuple[float, float, float, float, float]]]:
    """Yield, by method: false findings with equal and unequal variances, power for any effect and for the best, ms."""
    methods = PAIRED if design.blocks else INDEPENDENT
    rng = generator("peers", design.text)
    worlds = ((0.0, 1.0), (0.0, design.wide), (design.effect, 1.0))
    drawn = [[design.table(rng, effect=effect, wide=wide) for _ in range(tables)] for effect, wide in worlds]
    for name, method in methods.items():
        begun = time.process_time()
        with redirect_stdout(io.StringIO()):  # autorank prints its tables
            equal, unequal, real = ([method(table, blocks=design.blocks) for table in world] for world in drawn)
        cost = 1000.0 * (time.process_time() - begun) / (3 * tables)
        yield (
            name,
            (
                float(np.mean([each.any for each in equal])),
                float(np.mean([each.any for each in unequal])),
                float(np.mean([each.any for each in real])),
                float(np.mean([each.best for each in real])),
                cost,
            ),
        )


def main(tables: int) -> None:
    """Print the table in Markdown."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    print(
        "| design | method | false, equal spread | false, unequal | finds an effect | finds the best level | "
        "ms per table |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for design in DESIGNS:
        for name, (equal, unequal, effect, best, cost) in measure(design, tables):
            valid = "" if max(equal, unequal) <= VALID else " (not valid)"
            rates = " | ".join(f"{rate:.3f}" for rate in (equal, unequal, effect, best))
            print(f"| {design.text} | {name}{valid} | {rates} | {cost:.0f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
