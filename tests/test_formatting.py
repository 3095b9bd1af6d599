"""How things are said."""

import pytest

from setpoint.formatting import MOST_LISTED, listed, percent_text, share_text


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


def test_measured_shares_have_three_digits_and_no_round_off() -> None:
    shares = (0.3433, 0.35, 49.3094, 1176.97174, 1e5, 9.108e-4, -3e-12, -1e-4, 299 / 300, 0.99999, 1.0)
    texts = ["34.3 %", "35 %", "4930 %", "118000 %", "1e7 %", "0.0911 %", "0 %", "-0.01 %", "99.7 %", "99.9 %", "100 %"]
    assert [share_text(share) for share in shares] == texts


def test_a_share_that_is_not_all_is_not_rounded_to_all() -> None:
    assert [percent_text(share) for share in (1.0, 299 / 300, 0.99999, 0.994)] == ["100 %", "99.7 %", "99.9 %", "99 %"]
