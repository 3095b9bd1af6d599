"""Which values a bounded field takes, in words, as the remedy for one that is out of bounds."""

from collections.abc import Iterable, Mapping
from typing import Any

_WORDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_FINDINGS = frozenset({"greater_than_equal", "greater_than", "less_than_equal", "less_than"})


def remedy(finding: Mapping[str, Any], metadata: Iterable[object] = ()) -> str:
    """A sentence, with a space before it, for a validator's `finding` about a bound; nothing for any other.

    Args:
        metadata: of the field; without it, only the bound that was broken is known.
    """
    if finding["type"] not in _FINDINGS:
        return ""
    known = {name: bound for each in metadata for name in _WORDS if (bound := getattr(each, name, None)) is not None}
    words = [_WORDS[name].format(bound) for name, bound in (known or finding["ctx"]).items()]
    return f" Give {' and '.join(words)}."
