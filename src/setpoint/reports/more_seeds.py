"""Advice on more seeds: how many could show which level of a parameter is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, of_kind
from setpoint.analysis.data.evidence import Detectable, ResolutionEvidence
from setpoint.formatting import factor_label, listed
from setpoint.reports.content import Report


@dataclass(frozen=True)
class _Open:
    """A parameter whose best level is not resolved.

    Attributes:
        detectable: minimum detectable differences by number of seeds, and the observed difference.
        seeds: seeds per configuration so far.
    """

    factor: str
    detectable: Detectable
    seeds: int

    @property
    def label(self) -> str:
        return factor_label(self.factor)

    @property
    def observed(self) -> str:
        """Return the observed difference and its upper confidence limit: `9.4 %, upper confidence limit 34 %`."""
        limit = self.detectable.allowed_text
        return self.detectable.observed_text + ("" if limit is None else f", upper confidence limit {limit}")

    @property
    def sufficient(self) -> int | None:
        """Return the fewest seeds that detect the observed difference, else the upper confidence limit, if any do."""
        return self._seeds_for(self.detectable.observed) or self._seeds_for(self.detectable.allowed)

    def _seeds_for(self, difference: float | None) -> int | None:
        enough = [
            count
            for count, smallest in self.detectable.by_seeds.items()
            if count > self.seeds and difference is not None and smallest <= difference
        ]
        return min(enough, default=None)


def more_seeds(report: Report) -> list[str]:
    """Advise more seeds where they could resolve which level is best, and say where they cannot."""
    levels = of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL)
    unresolved = [claim for claim in levels if claim.status is not Status.SUPPORTED]
    if not unresolved:
        return []
    seeds = max((len(result.runs) for ranked in report.ranked for result in ranked.configurations), default=0)
    resolution = report.claim(ClaimKind.RESOLUTION)
    if resolution is None or resolution.estimate is None or not isinstance(resolution.evidence, ResolutionEvidence):
        return [_estimate_variability(unresolved, seeds)]
    by_factor = resolution.evidence.parameters
    found = [_Open(claim.factor, by_factor[claim.factor], seeds) for claim in unresolved if claim.evidence is not None]
    worthwhile = [each for each in found if each.sufficient is not None]
    futile = [each for each in found if each.sufficient is None]
    return [*([_worthwhile(worthwhile)] if worthwhile else []), *([_futile(futile)] if futile else [])]


def _estimate_variability(unresolved: Sequence[Claim], seeds: int) -> str:
    names = listed([factor_label(claim.factor) for claim in unresolved])
    wanted = max(3, seeds + 2)
    return (
        f"Run the same design with --replicates {wanted}: {wanted} seeds per configuration allow significance tests of "
        f"{names}. Now, {unresolved[0].reason}."
    )


def _worthwhile(found: Sequence[_Open]) -> str:
    """State how many seeds detect the observed differences, or at least the upper confidence limits."""
    most = max(each.sufficient or 0 for each in found)
    return f"Run the same design with --replicates {most}: {_power(found, most)}."


def _futile(found: Sequence[_Open]) -> str:
    """State that the most seeds considered detect not even the upper confidence limits."""
    most = max(found[0].detectable.by_seeds)
    return (
        f"Do not add seeds to find the best {listed([each.label for each in found])}: even {_power(found, most)}. "
        "Use any near-best level, or the cheapest."
    )


def _power(found: Sequence[_Open], seeds: int) -> str:
    """Compare the minimum detectable difference of each parameter with its observed difference."""
    parts = [
        f"{each.detectable.text_by_seeds[seeds]} between levels of {each.label} (observed: {each.observed})"
        for each in found
    ]
    return f"{seeds} seeds detect differences from {listed(parts)} with 80 % power"
