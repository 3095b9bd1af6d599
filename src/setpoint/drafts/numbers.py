"""Numbers in sentences: value, precision and role; and whether a fact has that value at that precision."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_NUMBER = re.compile(
    r"(?<![\w.,/])(?P<sign>[-−+]?)(?P<digits>\d+(?:,\d{3})*(?:\.\d+)?)(?P<exponent>[eE][-−+]?\d+)?"
    r"(?:\s*(?P<unit>%|percent\b|per cent\b|×|x\b|times\b|-fold\b))?(?![\w]|\.\d)"
)
_BEFORE_P = re.compile(r"\bp(?:-values?)?\s*(?:adjusted\s*)?(?:=|<|>|≤|of|is|was|below|:)?\s*$", re.IGNORECASE)
_COUNTED = re.compile(
    r"\s*(?:\w+\s+)?(runs?|seeds?|configurations?|cases|systems?|replicates?|levels?)\b", re.IGNORECASE
)
_CONFIDENCE = re.compile(r"\s*(?:confidence|ci\b|interval|power)", re.IGNORECASE)
_REFERENCE = re.compile(r"\b(?:table|figure|fig\.|section|chapter|equation|eq\.|step|version|page)\s*$", re.IGNORECASE)
_RATIO_BEFORE = re.compile(r"[×x]\s*$")


class Role(StrEnum):
    """What a number is in its sentence."""

    PLAIN = "number"
    PERCENT = "percentage"
    RATIO = "ratio"
    P_VALUE = "p-value"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written.

    Attributes:
        value: its value; of a percentage, the share.
        half_unit: half a unit of its last digit.
        start: position in the sentence.
    """

    text: str
    value: float
    half_unit: float
    role: Role
    start: int

    def is_value_of(self, fact: float) -> bool:
        """Return whether `fact`, rounded as this number is, has its value; signs are left to the words around it."""
        return abs(abs(fact) - abs(self.value)) <= self.half_unit * 1.0001


def numbers_in(sentence: str) -> Iterator[Number]:
    """Yield the numbers of a sentence; numbers of tables, levels of confidence and list items are none."""
    for match in _NUMBER.finditer(sentence):
        before, after = sentence[: match.start()], sentence[match.end() :]
        if _REFERENCE.search(before) or not (before.strip(" *_#>|-") or not after.startswith((".", ")"))):
            continue
        unit = match["unit"] or ""
        if unit.startswith(("%", "per")) and _CONFIDENCE.match(after):
            continue
        digits = match["digits"].replace(",", "")
        exponent = int((match["exponent"] or "e0")[1:].replace("−", "-"))
        value = float(digits) * 10.0**exponent
        half = 0.5 * 10.0 ** (exponent - len(digits.partition(".")[2]))
        role = _role(before, after, unit)
        scale = 0.01 if role is Role.PERCENT else 1.0
        sign = -1.0 if match["sign"] in {"-", "−"} else 1.0
        yield Number(match[0].strip(), sign * value * scale, half * scale, role, match.start())


def _role(before: str, after: str, unit: str) -> Role:
    if unit.startswith(("%", "per")):
        return Role.PERCENT
    if _BEFORE_P.search(before):
        return Role.P_VALUE
    if unit or _RATIO_BEFORE.search(before):
        return Role.RATIO
    return Role.COUNT if _COUNTED.match(after) else Role.PLAIN
