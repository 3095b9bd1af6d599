"""Sentences of a draft: what each is about, and what it says about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from setpoint.drafts.numbers import Number, numbers_in
from setpoint.formatting import factor_label, level_text

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_END = re.compile(r"(?<=[.!?])[\"')”]*\s+(?=[\"'(“*_`]*[A-Z0-9])|\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+[.)])\s*)")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|cf|vs|approx|resp|Fig|Eq|No)\.$")

_GOOD = r"improv\w*|better|outperform\w*|beats?|beat|help(?:s|ed)?|gain(?:s|ed)?|superior"
_BAD = r"worsen\w*|worse|harm(?:s|ed|ful)?|hurts?|degrad\w*|deteriorat\w*|inferior|underperform\w*"
_UP = r"rais(?:e|es|ed)|increas\w*|higher|larger|greater|grow(?:s|n)?|grew"
_DOWN = r"reduc\w*|lower(?:s|ed)?|decreas\w*|cut(?:s)?|smaller|fewer|less|drop(?:s|ped)?|halv(?:es|ed)"
_HEDGED = re.compile(
    r"not (?:statistically )?(?:significant|resolved|supported|distinguishable|conclusive|tested|testable)"
    r"|no (?:statistically )?(?:significant|supported|clear|conclusive|detectable)"
    r"|\bno effect (?:(?:is|was|could be) )?shown"
    r"|inconclusive|unresolved|no evidence|not evidence|cannot (?:tell|say|distinguish|be)|could not be"
    r"|insignificant|not enough|too few|may be chance|remains open|untested",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"\b(?:has|had|have|with|shows?|is|was) no (?:effect|influence|impact)|does not (?:matter|affect|change|influence)"
    r"|did not (?:matter|affect|change|influence)|makes? no difference|made no difference|no difference",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    rf"\b(?:does|did|do|has|have|is|was) not (?:\w+ )?(?:{_GOOD}|{_BAD}|{_UP}|{_DOWN})|\bneither\b", re.IGNORECASE
)
_BEST = re.compile(r"(?<![/-])\b(?:best|optimal|optimum|winning|wins?|won)\b(?!-)", re.IGNORECASE)
_OBSERVED = re.compile(r"\bobserved best\b|\bbest observed\b|\b(?:best|lowest|highest) mean\b", re.IGNORECASE)
_DETECTABLE = re.compile(r"\bdetect(?:s|ed|able)?\b|\bresolution\b", re.IGNORECASE)
_IMPACT = re.compile(
    r"most (?:impactful|important|influential)|(?:largest|strongest|biggest) (?:effect|impact|influence)|matters? most",
    re.IGNORECASE,
)
_SIGNIFICANT = re.compile(
    r"\bsignificant(?:ly)?\b|\bsupported\b|\b(?:affects?|matters?|changes?|has an effect)\b", re.I
)
_HIGHER_IS_BETTER = re.compile(r"\bsuccess|\bparse[ds]?\b|\breadable\b|\breward\b", re.IGNORECASE)
_STAGES = {"sft": r"\bSFT\b|supervised fine-tuning", "dagger": r"\bDAgger\b", "grpo": r"\bGRPO\b"}


class Direction(StrEnum):
    """In which direction a sentence says that something changed."""

    BETTER = "better"
    WORSE = "worse"


@dataclass(frozen=True)
class Sentence:
    """One sentence.

    Attributes:
        line: number of its first line in the draft.
        stages: training stages in the order in which they are mentioned.
        factors: swept parameters that it mentions.
        levels: swept parameter -> levels that it mentions.
        hedged: it says that something is not shown.
        none: it says that there is no effect or difference.
        observed: it says which level was observed best, not that it is.
        detectable: it says which differences the design can show.
        asserts: it claims an effect, a best level or a direction.
    """

    text: str
    line: int
    numbers: tuple[Number, ...]
    systems: tuple[str, ...]
    stages: tuple[str, ...]
    factors: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    direction: Direction | None
    hedged: bool
    none: bool
    best: bool
    impact: bool
    observed: bool
    detectable: bool
    asserts: bool

    @property
    def checkable(self) -> bool:
        """Whether it has a number or compares something; questions do not."""
        if self.text.rstrip("\"')* ").endswith("?"):
            return False
        return bool(self.numbers) or self.asserts or ((self.hedged or self.none) and bool(self.stages or self.factors))


@dataclass(frozen=True)
class Vocabulary:
    """Names that sentences of this experiment may use."""

    systems: Sequence[str]
    factors: Mapping[str, Sequence[str]]
    """Swept parameter -> its levels as text."""


def sentences(draft: str, vocabulary: Vocabulary) -> Iterator[Sentence]:
    """Yield the sentences of a Markdown or plain-text draft; code blocks are left out."""
    text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), draft)
    start = 0
    for match in [*_END.finditer(text), None]:
        end = len(text) if match is None else match.start()
        if match is not None and _ABBREVIATION.search(text[start:end]):
            continue
        part = text[start:end]
        if part.strip():
            line = text.count("\n", 0, start + len(part) - len(part.lstrip())) + 1
            yield parse(" ".join(part.split()), line, vocabulary)
        start = end if match is None else match.end()


def parse(text: str, line: int, vocabulary: Vocabulary) -> Sentence:
    """Return what one sentence says."""
    levels, covered = _levels(text, vocabulary)
    numbers = tuple(number for number in numbers_in(text) if number.start not in covered)
    matches = {stage: re.search(form, text, re.IGNORECASE) for stage, form in _STAGES.items()}
    places = {stage: match.start() for stage, match in matches.items() if match is not None}
    negated, hedged, none = _NEGATED.search(text), bool(_HEDGED.search(text)), bool(_NONE.search(text))
    direction = None if negated or none else _direction(text)
    best, impact = bool(_BEST.search(text)), bool(_IMPACT.search(text))
    unsure, observed = hedged or bool(negated), bool(_OBSERVED.search(text))
    compares = direction is not None or none or (best and not observed) or impact or bool(_SIGNIFICANT.search(text))
    asserts = not unsure and compares
    return Sentence(
        text=text,
        line=line,
        numbers=numbers,
        systems=tuple(name for name in vocabulary.systems if _mentions(text, name)),
        stages=tuple(sorted(places, key=places.__getitem__)),
        factors=tuple(name for name in vocabulary.factors if name in levels or _mentions_factor(text, name)),
        levels=levels,
        direction=direction,
        hedged=unsure,
        none=none,
        best=best,
        impact=impact,
        observed=observed,
        detectable=bool(_DETECTABLE.search(text)),
        asserts=asserts,
    )


def _mentions(text: str, name: str) -> bool:
    form = re.escape(name).replace("_", "[ _-]")
    return re.search(rf"(?<![\w-]){form}(?![\w]|[_-]\w)", text, re.IGNORECASE) is not None


def _spellings(factor: str) -> tuple[str, ...]:
    bare = factor.rpartition(".")[2].replace("_", " ")
    return tuple(dict.fromkeys((factor_label(factor), factor, bare)))


def _mentions_factor(text: str, factor: str) -> bool:
    return any(_mentions(text, spelling) for spelling in _spellings(factor))


def _levels(text: str, vocabulary: Vocabulary) -> tuple[dict[str, tuple[str, ...]], set[int]]:
    """Return the levels that a sentence names, and where they are written."""
    found: dict[str, tuple[str, ...]] = {}
    covered: set[int] = set()
    for factor in vocabulary.factors:
        names = "|".join(re.escape(spelling).replace("_", "[ _-]") for spelling in _spellings(factor))
        form = rf"(?:{names})\s*(?:is|was|=|:|of|to|at)?\s*(?P<level>[\w.+-]*\w)"
        reverse = rf"(?P<level>\d[\w.+-]*)\s+(?:is|was) the (?:best|optimal|observed best)\s+(?:{names})"
        for match in [*re.finditer(form, text, re.IGNORECASE), *re.finditer(reverse, text, re.IGNORECASE)]:
            level = _level(match["level"])
            if level is not None:
                found[factor] = (*found.get(factor, ()), level)
                covered |= set(range(match.start("level"), match.end("level")))
    return found, covered


def _level(text: str) -> str | None:
    """Return a number as the text of a level; None for any other word."""
    try:
        return level_text(float(text))
    except ValueError:
        return None


def _direction(text: str) -> Direction | None:
    """Return the direction of the first word that has one; of `lower` and `higher`, by what they speak of."""
    form = rf"\b(?:(?P<good>{_GOOD})|(?P<bad>{_BAD})|(?P<up>{_UP})|(?P<down>{_DOWN}))\b"
    match = re.search(form, text, re.IGNORECASE)
    if match is None:
        return None
    if match["good"] or match["bad"]:
        return Direction.BETTER if match["good"] else Direction.WORSE
    upwards, gain = match["up"] is not None, _HIGHER_IS_BETTER.search(text) is not None
    return Direction.BETTER if upwards == gain else Direction.WORSE
