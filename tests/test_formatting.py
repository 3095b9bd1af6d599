"""How things are said."""

import pytest

from setpoint.formatting import MOST_LISTED, listed


@pytest.mark.parametrize(
    ("items", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
)
def test_a_few_items_are_listed_in_full(items: list[str], text: str) -> None:
    assert listed(items, "or") == text


def test_many_items_are_cut_off_and_counted() -> None:
    items = [f"i{k}" for k in range(1000)]
    text = listed(items, "or")
    assert text.endswith(f"i{MOST_LISTED - 2} and {1000 - MOST_LISTED + 1} more")
    assert " or " not in text
