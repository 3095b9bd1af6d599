"""How large a difference the design could show, and what more seeds would show."""

import math

from setpoint.analysis.claims import Claim, Status
from setpoint.analysis.design import ratio
from setpoint.analysis.experiment import Level
from setpoint.analysis.intervals import detectable_difference, pooled_deviation
from setpoint.analysis.tested import Sweep
from setpoint.analysis.wording import number_text, percent_text


def resolution(sweep: Sweep) -> Claim:
    """How large a difference between two levels this design could show, and how large with more seeds."""
    factor = sweep.parameters[0]
    low, _ = sweep.design.replicates
    count = len(sweep.levels_of(factor))
    cells_per_level = len(sweep.cells.means) // count
    comparisons = count * (count - 1) // 2
    deviation = _run_deviation(sweep)
    planned = sorted({max(low, 1), 3, 5, 10})
    smallest = {
        str(seeds): detectable_difference(deviation, seeds * cells_per_level, comparisons, sweep.alpha)
        for seeds in planned
        if seeds * cells_per_level >= 2
    }
    now = smallest.get(str(max(low, 1)))
    text = {seeds: _resolvable_text(sweep, value) for seeds, value in smallest.items()}
    return Claim(
        id="resolution",
        heading="Smallest difference that this design resolves",
        statement=f"{text[str(max(low, 1))]} between two levels of {factor} with {sweep.seeds} "
        f"({'; '.join(f'{seeds} seeds: {words}' for seeds, words in text.items() if seeds != str(max(low, 1)))})"
        if now is not None
        else "not resolved: a level has only one run",
        status=Status.SUPPORTED if now is not None else Status.NOT_TESTABLE,
        reason="from the observed spread between runs of one configuration, at 80 % power",
        method="two-sided t test with Bonferroni's correction over the pairs of levels, noncentral t power",
        n_runs=sweep.cells.n_runs,
        estimate=now,
        details={
            "estimate_of": "difference on the analysed scale",
            "run_deviation": deviation,
            "by_seeds": smallest,
            "in_words": text,
        },
    )


def _run_deviation(sweep: Sweep) -> float:
    """The standard deviation of one run, pooled over the cells."""
    if sweep.design.replicates[0] < 2:
        return math.sqrt(float(sweep.cells.variances[0]))
    by_cell: dict[tuple[Level, ...], list[float]] = {}
    for observation in sweep.design.observations:
        if observation.value is not None:
            cell = tuple(observation.level(factor) for factor in sweep.design.factors)
            by_cell.setdefault(cell, []).append(observation.value)
    return pooled_deviation(list(by_cell.values()))[0]


def _resolvable_text(sweep: Sweep, difference: float) -> str:
    scale = sweep.design.scale
    return percent_text(1.0 - ratio(-difference)) if scale.logarithmic else number_text(difference)
