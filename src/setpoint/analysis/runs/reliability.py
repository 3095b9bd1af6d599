"""Failure rates of levels, and survivorship bias in comparisons of the finished runs."""

from collections.abc import Mapping

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.design import clusters, ordered_levels, swept
from setpoint.analysis.data.evidence import FailureEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.failure_rates import failure_test
from setpoint.analysis.statistics.intervals import share_interval
from setpoint.formatting import (
    counted,
    factor_label,
    level_text,
    p_text,
    percent_interval_text,
    percent_text,
)
from setpoint.records.failure import FailureClass
from setpoint.records.state import RunStatus
from setpoint.seeding import generator

_OWN_FAILURES = frozenset({RunStatus.FAILED, RunStatus.LOST})
_OF_FILES = frozenset({FailureClass.DATA, FailureClass.CORRUPT_ARTIFACT})


def failed_itself(run: RunResult) -> bool:
    """Return whether the run failed in a way that can depend on its configuration.

    Blocked runs never started, and a damaged file is a problem of the disk.
    """
    return run.state in _OWN_FAILURES and (run.failure is None or run.failure.failure_class not in _OF_FILES)


def failures_by_level(data: ExperimentData, factor: str) -> dict[Level, tuple[int, int]]:
    """Return, for each level of `factor`, the number of failed runs and of all runs that ended."""
    levels = ordered_levels(run.level(factor) for run in data.runs)
    failed, total = dict.fromkeys(levels, 0), dict.fromkeys(levels, 0)
    for run in data.runs:
        if run.state.ok or failed_itself(run):
            total[run.level(factor)] += 1
            failed[run.level(factor)] += not run.state.ok
    return {level: (failed[level], total[level]) for level in levels}


def survivor_caveat(data: ExperimentData) -> list[str]:
    """Return a caveat if failed runs are missing from the comparison of means."""
    failed = sum(map(failed_itself, data.runs))
    return (
        [f"means exclude {counted(failed, f'failed {data.words.run}')} (possible survivorship bias)"] if failed else []
    )


def failure_claims(data: ExperimentData) -> list[Claim]:
    """Test for each swept parameter whether failure rates differ between levels; empty if no run failed, or all did."""
    if not any(run.state.ok for run in data.runs) or not any(map(failed_itself, data.runs)):
        return []
    tables = {factor: failures_by_level(data, factor) for factor in swept(data)}
    tables = {f: {k: v for k, v in table.items() if v[1]} for f, table in tables.items()}
    tables = {f: table for f, table in tables.items() if len(table) >= 2 and any(v[0] for v in table.values())}
    shared = not data.analysis.blocked_by_seed and len(set(clusters(data).values())) < len(data.runs)
    raw = [] if shared else [_p_value(table) for table in tables.values()]
    p_values = list(zip(raw, holm(raw), strict=True))
    return [
        _failure_claim(data, factor, table, None if shared else p_values[k])
        for k, (factor, table) in enumerate(tables.items())
    ]


def failure_rates_p(data: ExperimentData, factor: str) -> float:
    """Return the unadjusted p-value of equal failure rates of the levels of `factor`; 1 if no or all runs failed."""
    table = {level: counts for level, counts in failures_by_level(data, factor).items() if counts[1]}
    failed, total = (sum(counts[k] for counts in table.values()) for k in (0, 1))
    return _p_value(table) if len(table) >= 2 and 0 < failed < total else 1.0


def _p_value(table: Mapping[Level, tuple[int, int]]) -> float:
    failed, total = zip(*sorted(table.values()), strict=True)  # sorted, so that draws do not depend on names
    return failure_test(failed, total, generator("failures"))


def _failure_claim(
    data: ExperimentData,
    factor: str,
    table: Mapping[Level, tuple[int, int]],
    p_values: tuple[float, float] | None,
) -> Claim:
    """Make the claim about one parameter; `p_values` are those before and after Holm's correction."""
    alpha = data.analysis.alpha
    p = None if p_values is None else p_values[1]
    rates = ", ".join(
        f"{level_text(level)}: {failed} of {total} failed "
        f"{percent_interval_text(*share_interval(failed, total, alpha))}"
        for level, (failed, total) in table.items()
    )
    worst = max(table, key=lambda level: table[level][0] / table[level][1])
    share = percent_text(table[worst][0] / table[worst][1])
    if p is None:
        verdict = Status.NOT_TESTABLE, "runs share SFT parents, so their failures are not independent"
    elif p < alpha:
        verdict = Status.SUPPORTED, "failure rates differ between levels"
    else:
        verdict = Status.UNRESOLVED, "not statistically significant"
    tested = "" if p is None else f"; {p_text(p)} after Holm"
    statement = f"not resolved: {rates}{tested}; {verdict[1]}"
    if verdict[0] is Status.SUPPORTED:
        statement = f"{level_text(worst)} fails most ({share}) ({rates}{tested})"
    return Claim(
        kind=ClaimKind.FAILURES,
        subject=OneFactor(factor),
        heading=f"Failures by {factor_label(factor)}",
        statement=statement,
        status=verdict[0],
        reason=verdict[1],
        method="Boschloo's exact test for two levels, permutation chi-square for more; Clopper–Pearson intervals",
        n_runs=sum(total for _, total in table.values()),
        p_adjusted=p,
        evidence=FailureEvidence(
            p_unadjusted=None if p_values is None else p_values[0],
            failed_and_total={level_text(level): count for level, count in table.items()},
        ),
    )
