"""The product speaks plain English: phrases that read like a translation do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each is a phrase that users met once, with its better wording in the history of the file that had it.
REJECTED = (
    r"\bmend(s|ed|ing)?\b",
    r"told apart",
    r"tells? (them )?apart",
    r"\b(goes|going|went) on (where|with|from|as|after|in|to)\b",
    r"\banew\b",
    r"\bby (itself|themselves)\b",
    r"\bin words(?! if)\b",
    r"\bso many\b",
    r"\bhand(s|ed)? (this|them|it|stages|jobs|scripts) in\b",
    r"\btaken? (it|one) up\b",
    r"dead ax(is|es)",
    r"\bprocessor(s| time| seconds)?\b",
    r"\breckon",
    r"a number is asked for",
    r"a range goes up",
    r"is there twice",
    r"is no parameter",
    r"takes no numbers",
    r"may not go in a circle",
    r"as many points as you say",
    r"whether its effect bends",
    r"is no factor",
    r"mixed up with",
    r"as busy as it was before",
    r"whose square no number can hold",
    r"the difference may be chance",
    r"than its runs differ",
    r"runs that survived",
    r"the worse level kills",
    r"never early",
    r"whose truth is known",
    r"that this design resolves",
    r"choosing did not flatter",
    r"looks better than it is",
    r"resemblance of runs",
    r"judged in",
    r"in which world",
    r"spoken to",
    r"does not come back from",
    r"a plant from elsewhere",
    r"what is asked of a plant",
    r"more timid",
    r"fit for the work",
    r"a polite (request|sigterm)",
    r"who holds a thing",
    r"what frames the results",
    r"not drawn, as asked",
    r"these words belong to no option",
    r"a grid that stands still",
    r"nothing of a language is left",
    r"steers badly",
    r"which is not 'unsloth_env'",
    r"for a browser:",
    r"does not show that there is none",
    r"which shows no spread",
    r"nothing was predicted",
    r"one run compares nothing",
    r"can tell chance apart",
    r"drop or change this stage",
    r"everything that was asked",
    r"the unit is the trained run",
    r"the buttons in the head sort",
    r"so that no design can be priced",
    r"\bllm is (the )?(PATH|model)",
    r"systems cannot show it",
    r"which are taken as they are",
    r"no fault of its configuration",
    r"make a data ?set of optimal control",
    r"\bdata sets?\b",
    r"\bdata base\b",
)
PATTERN = re.compile("|".join(f"(?:{phrase})" for phrase in REJECTED), re.IGNORECASE)

WRITTEN = [
    *sorted((ROOT / "src").rglob("*.py")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_rejected_phrase_is_left(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [f"{number}: {line.strip()}" for number, line in enumerate(lines, 1) if PATTERN.search(line)] == []
