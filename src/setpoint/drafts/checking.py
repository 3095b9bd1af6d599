"""Check every number and comparative sentence of a draft against the claims and results of an experiment.

A sentence is supported if the claim that it is about says the same: direction, status, level and numbers. It is not
supported if the claim says something else, or less. It is not found if the experiment has nothing of the kind. The
check reads sentences by rules; one that it cannot attribute to a claim is compared with all numbers of the experiment.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.data.subject import OneCell, OneFactor
from setpoint.drafts.numbers import Number, Role, numbers_in
from setpoint.drafts.sentences import Direction, Sentence, Vocabulary, sentences
from setpoint.formatting import factor_label, level_text
from setpoint.reports import read_claims, write_reports
from setpoint.reports.modes import baseline_rows
from setpoint.reports.results import result_rows

STAGE_OF = {
    ClaimKind.SFT_AGAINST_BASE: "sft",
    ClaimKind.DAGGER_AGAINST_SFT: "dagger",
    ClaimKind.GRPO_AGAINST_SFT: "grpo",
}
_OF_FACTOR = (ClaimKind.MAIN_EFFECT, ClaimKind.OPTIMAL_LEVEL)
_LOG_METRICS = ("final_error", "normalised_error", "control_cost")


class Finding(StrEnum):
    """What the experiment says about a sentence."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    NOT_FOUND = "not found"


@dataclass(frozen=True)
class Checked:
    """One sentence, what the experiment says about it, and why."""

    line: int
    text: str
    finding: Finding
    reason: str
    claims: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        fields = {"line": self.line, "text": self.text, "finding": self.finding.value, "reason": self.reason}
        return {**fields, "claims": list(self.claims)}


@dataclass(frozen=True)
class Facts:
    """What an experiment says: its claims, and rows of numbers with the levels that they belong to."""

    claims: tuple[Claim, ...]
    rows: tuple[Mapping[str, Any], ...]
    vocabulary: Vocabulary


def read_facts(experiment: Path) -> Facts:
    """Return the facts of the experiment in this folder; its reports are written again first.

    Raises:
        InputError: the folder holds no experiment.
    """
    claims = read_claims(write_reports(experiment, figures=False))
    data = read_experiment(experiment)
    levels: dict[str, list[str]] = {factor: [] for factor in data.analysis.factors if factor != "system"}
    for run in data.runs:
        for factor, found in levels.items():
            text = level_text(run.level(factor))
            if text not in found:
                found.append(text)
    rows = list(result_rows(data))
    return Facts(
        claims=tuple(claims),
        rows=(*rows, *_means(rows), *baseline_rows(data)),
        vocabulary=Vocabulary(data.systems, levels),
    )


def check_draft(draft: str, facts: Facts) -> list[Checked]:
    """Return every sentence of the draft that has a number or compares something, with what the experiment says."""
    return [check_sentence(each, facts) for each in sentences(draft, facts.vocabulary) if each.checkable]


def check_sentence(sentence: Sentence, facts: Facts) -> Checked:
    """Return what the experiment says about one sentence."""
    relevant = relevant_claims(sentence, facts.claims)
    names = tuple(claim.id for claim in relevant)

    def found(finding: Finding, reason: str) -> Checked:
        return Checked(sentence.line, sentence.text, finding, reason, names)

    unknown = [
        f"{factor} {level}"
        for factor, levels in sentence.levels.items()
        for level in levels
        if level not in facts.vocabulary.factors[factor]
    ]
    if unknown:
        return found(Finding.NOT_FOUND, f"no run has {', '.join(unknown)}")
    for claim in relevant:
        contradiction = _contradiction(sentence, claim)
        if contradiction:
            return found(Finding.NOT_SUPPORTED, contradiction)
    wrong = [number for number in sentence.numbers if not _known(number, sentence, relevant, facts)]
    if wrong:
        texts = ", ".join(f"{number.text} ({number.role.value})" for number in wrong)
        where = f"in {names[0]}" if len(names) == 1 else "in its claims" if names else "in the experiment"
        return found(Finding.NOT_SUPPORTED if names else Finding.NOT_FOUND, f"no such number {where}: {texts}")
    if sentence.asserts and not relevant and not sentence.numbers:
        return found(Finding.NOT_FOUND, "no claim is about this")
    return found(Finding.SUPPORTED, "as in the claim" if relevant else "its numbers are in the results")


def relevant_claims(sentence: Sentence, claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims that a sentence is about, judged by the stage, parameter, level and system that it names."""
    found = [claim for claim in claims if _is_about(sentence, claim)]
    if len(sentence.systems) == 1:
        on_it = [claim for claim in found if claim.system in {None, sentence.systems[0]}]
        return on_it
    return found


def _is_about(sentence: Sentence, claim: Claim) -> bool:
    if sentence.detectable:
        return claim.kind is ClaimKind.RESOLUTION
    if sentence.impact:
        return claim.kind is ClaimKind.MOST_IMPACTFUL
    if claim.kind in STAGE_OF:
        if not sentence.stages or sentence.stages[0] != STAGE_OF[claim.kind] or sentence.best:
            return False
        cell = claim.subject.cell if isinstance(claim.subject, OneCell) else ""
        return _cell(sentence) == frozenset(filter(None, cell.split(", "))) if sentence.levels else not cell
    if claim.kind in _OF_FACTOR and isinstance(claim.subject, OneFactor) and not sentence.stages:
        if claim.subject.factor not in sentence.factors or len(sentence.factors) > 1:
            return False
        return (claim.kind is ClaimKind.OPTIMAL_LEVEL) == (sentence.best or bool(sentence.levels))
    return False


def _cell(sentence: Sentence) -> frozenset[str]:
    return frozenset(f"{factor}={level}" for factor, levels in sentence.levels.items() for level in levels)


def _contradiction(sentence: Sentence, claim: Claim) -> str:
    """Return why the sentence says something else than the claim; empty if it does not."""
    status = f"the claim is {claim.status.value.replace('_', ' ')}: {claim.reason}"
    if claim.kind is ClaimKind.RESOLUTION:
        return ""
    compares = sentence.asserts and (claim.kind is not ClaimKind.OPTIMAL_LEVEL or sentence.best)
    if sentence.none and not sentence.hedged:
        return "an effect that is not shown is no evidence that there is none"
    if claim.status is Status.SUPPORTED and sentence.hedged:
        return "the claim is supported, but the sentence calls it open"
    if compares and claim.status is not Status.SUPPORTED and claim.status is not Status.DESCRIPTIVE:
        return status
    if claim.kind in STAGE_OF and claim.estimate is not None and sentence.direction is not None:
        better = claim.estimate > 0
        if better != (sentence.direction is Direction.BETTER):
            return f"the claim says that it is {'better' if better else 'worse'}"
    if claim.kind is ClaimKind.OPTIMAL_LEVEL and sentence.best and isinstance(claim.evidence, LevelEvidence):
        named = [level for levels in sentence.levels.values() for level in levels]
        best = level_text(claim.evidence.observed_best)
        if named and named[0] != best:
            return f"the observed best is {best}"
    if claim.kind is ClaimKind.MOST_IMPACTFUL and sentence.asserts:
        named_in = [factor for factor in sentence.factors if factor in claim.statement or _label(factor, claim)]
        if sentence.factors and not named_in:
            return f"the claim says: {claim.statement}"
    return ""


def _label(factor: str, claim: Claim) -> bool:
    return factor_label(factor) in claim.statement


def _known(number: Number, sentence: Sentence, relevant: Sequence[Claim], facts: Facts) -> bool:
    """Return whether a number is one of the claims, or else of the results, that the sentence is about."""
    if any(_in_claim(number, claim) for claim in relevant):
        return True
    if relevant and not sentence.levels:
        return False
    rows = [row for row in facts.rows if _row_fits(row, sentence)]
    if any(_in_row(number, row) for row in rows):
        return True
    return not relevant and not sentence.levels and any(_in_claim(number, claim) for claim in facts.claims)


def _in_claim(number: Number, claim: Claim) -> bool:
    if number.role is Role.COUNT:
        counts = [claim.n_runs, *(each.value for each in _written(claim) if each.role is Role.COUNT)]
        return any(number.is_value_of(count) for count in counts)
    if number.role is Role.P_VALUE:
        written = [each.value for each in _written(claim) if each.role is Role.P_VALUE]
        exact = [] if claim.p_adjusted is None else [claim.p_adjusted]
        bound = any(p < number.value for p in exact) and number.value in {0.05, 0.01, 0.001}
        return bound or any(number.is_value_of(p) for p in [*exact, *written])
    values = [value for value in (claim.estimate, *(claim.interval or ())) if value is not None]
    same = [each.value for each in _written(claim) if each.role in {number.role, Role.PLAIN}]
    ratios = [math.exp(value) for value in values if number.role is Role.RATIO and abs(value) < 50]
    return any(number.is_value_of(value) for value in [*values, *same, *ratios])


def _written(claim: Claim) -> Iterator[Number]:
    """Yield the numbers of the claim as the report prints them."""
    yield from numbers_in(f"{claim.heading}: {claim.statement}")


def _row_fits(row: Mapping[str, Any], sentence: Sentence) -> bool:
    if sentence.systems and row.get("system") not in sentence.systems:
        return False
    return all(level_text(row.get(factor)) in levels for factor, levels in sentence.levels.items())


def _in_row(number: Number, row: Mapping[str, Any]) -> bool:
    values = (value for value in row.values() if isinstance(value, int | float) and not isinstance(value, bool))
    return any(number.is_value_of(value) for value in values)


def _means(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row per configuration and system: means over its seeds, geometric where effects are ratios."""
    groups: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["configuration"], row["system"]), []).append(row)
    for members in groups.values():
        means: dict[str, Any] = {}
        for name, first in members[0].items():
            values = [row[name] for row in members]
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            if isinstance(first, str) or len(numbers) < len(values):
                means[name] = first
            elif name.endswith(_LOG_METRICS) and min(numbers) > 0:
                means[name] = math.exp(sum(map(math.log, numbers)) / len(numbers))
            else:
                means[name] = sum(numbers) / len(numbers)
        yield {**means, "seeds": len(members)}
