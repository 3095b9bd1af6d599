"""Inert parameters: runs that differ in them publish identical files.

A parameter that the training never reads would otherwise look like one without an effect.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import InertEvidence
from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.subject import FactorSet
from setpoint.formatting import counted, listed

_WORDS = {"weights": "trained the same weights", "episodes": "behaved the same in every episode"}


def inert_parameter_claims(data: ExperimentData) -> list[Claim]:
    """Make a claim for each set of factors in which runs differ although their files are identical."""
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    groups: dict[tuple[object, ...], list[RunResult]] = {}
    for run in data.runs:
        for what, digest in run.outputs.items():
            groups.setdefault((what, run.systems, run.seed, digest), []).append(run)
    for (kind, *_), runs in groups.items():
        for one, other in combinations(runs, 2):
            names = tuple(sorted(name for name in data.analysis.factors if one.level(name) != other.level(name)))
            if names and one.configuration != other.configuration:
                found.setdefault((str(kind), names), []).append((one.name, other.name))
    trained = {names for what, names in found if what == "weights"}
    return [
        _claim(what, names, pairs)
        for (what, names), pairs in found.items()
        if (what == "weights" or names not in trained)  # equal weights behave equally
        and not _implied(names, [other for kind, other in found if kind == what])
    ]


def _implied(names: tuple[str, ...], others: Iterable[tuple[str, ...]]) -> bool:
    """Return whether each of `names` belongs to a smaller inert set, so that this one adds nothing."""
    smaller = [set(other) for other in others if set(other) < set(names)]
    return set().union(*smaller) == set(names)


def _claim(what: str, names: tuple[str, ...], pairs: list[tuple[str, str]]) -> Claim:
    axes, (one, other) = listed(names), pairs[0]
    runs = Counter(name for pair in pairs for name in pair)
    return Claim(
        kind=ClaimKind.INERT_PARAMETERS,
        subject=FactorSet(names),
        heading=f"Without effect on what was {'trained' if what == 'weights' else 'done'}",
        statement=f"{axes}: {counted(len(pairs), 'pair')} of runs that differ there alone {_WORDS[what]}, "
        f"byte for byte, such as {one} and {other}",
        status=Status.SUPPORTED,
        reason="a parameter that is not read looks like one that does not matter",
        method="equal sha256 digests of what runs with the same seed published",
        n_runs=len(runs),
        caveats=(f"{axes} had no effect in some runs; see that they are read before relying on the comparison",),
        evidence=InertEvidence(tuple(pairs[:20])),
    )
