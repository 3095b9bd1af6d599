"""Whether more seeds would settle which level of a parameter is best, and how many."""

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, of_kind
from setpoint.analysis.data.evidence import Detectable, ResolutionEvidence
from setpoint.formatting import factor_label, listed
from setpoint.reports.content import Report


@dataclass(frozen=True)
class _Open:
    """A parameter whose best level is open after `seeds` seeds, with the differences that more of them would show."""

    factor: str
    shown: Detectable
    seeds: int

    @property
    def label(self) -> str:
        return factor_label(self.factor)

    @property
    def difference(self) -> str:
        return f"the best {self.label} and the next differ by {self.shown.observed_in_words}"

    @property
    def settling(self) -> int | None:
        """The fewest seeds that would show the difference that was seen, if any would."""
        return self._seeds_for(self.shown.observed)

    @property
    def possible(self) -> int | None:
        """The fewest seeds that would show that difference, or the largest that the intervals allow."""
        return self.settling or self._seeds_for(self.shown.allowed)

    def _seeds_for(self, difference: float | None) -> int | None:
        enough = [
            count
            for count, smallest in self.shown.by_seeds.items()
            if count > self.seeds and difference is not None and smallest <= difference
        ]
        return min(enough, default=None)


def more_seeds(report: Report) -> list[str]:
    """More seeds, where a question is open that they would settle; what none would settle is told too."""
    levels = of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL)
    unresolved = [claim for claim in levels if claim.status is not Status.SUPPORTED]
    if not unresolved:
        return []
    seeds = max((len(result.runs) for ranked in report.ranked for result in ranked.configurations), default=0)
    resolution = report.claim(ClaimKind.RESOLUTION)
    if resolution is None or resolution.estimate is None or not isinstance(resolution.evidence, ResolutionEvidence):
        return [_measure_the_spread(unresolved, seeds)]
    shown = resolution.evidence.parameters
    found = [_Open(claim.factor, shown[claim.factor], seeds) for claim in unresolved if claim.evidence is not None]
    worthwhile = [each for each in found if each.possible is not None]
    hopeless = [each for each in found if each.possible is None]
    return [*([_worthwhile(worthwhile)] if worthwhile else []), *([_hopeless(hopeless)] if hopeless else [])]


def _measure_the_spread(unresolved: Sequence[Claim], seeds: int) -> str:
    names = listed([factor_label(claim.factor) for claim in unresolved])
    wanted = max(3, seeds + 2)
    return (
        f"Run the same design with --replicates {wanted}: {names} could not be judged "
        f"({unresolved[0].reason}), and {wanted} seeds per configuration measure the spread."
    )


def _worthwhile(found: Sequence[_Open]) -> str:
    """That more seeds would settle something, or may: what was seen, or what the intervals allow."""
    most = max(each.possible or 0 for each in found)
    likely = [each.difference for each in found if each.settling is not None]
    reasons = [f"as seen, {listed(likely)}"] if likely else []
    reasons += [
        f"{each.difference} as seen, but by up to {each.shown.allowed_in_words} as far as the intervals say"
        for each in found
        if each.settling is None
    ]
    shown = listed([each.shown.in_words[most] for each in found])
    return (
        f"Run the same design with --replicates {most}: {'; '.join(reasons)}; and {most} seeds show differences "
        f"from {shown} (80 % power)."
    )


def _hopeless(found: Sequence[_Open]) -> str:
    """That not even the most seeds considered would show what the intervals allow."""
    most = max(found[0].shown.by_seeds)
    bounds = listed([each.shown.allowed_in_words for each in found if each.shown.allowed_in_words is not None])
    shown = listed([each.shown.in_words[most] for each in found])
    return (
        f"Do not expect more seeds to settle {listed([each.label for each in found])}: as seen, "
        f"{listed([each.difference for each in found])}, the intervals exclude more than {bounds}, and even {most} "
        f"seeds show differences only from {shown}. Take any of the levels that may be best, or the cheapest."
    )
