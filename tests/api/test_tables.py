"""`analyze` on a DataFrame, on columns, on rows and on a file: the same claims."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import setpoint as sp
from setpoint.analysis.data.claim import Status
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.seeding import generator


def columns() -> dict[str, list[Any]]:
    rng = np.random.default_rng(3)
    rank = [4] * 8 + [8] * 8
    return {"rank": rank, "error": [float(np.exp(0.5 * (r == 4) + 0.1 * rng.normal())) for r in rank]}


def test_every_form_of_a_table_gives_the_same_claims(tmp_path: Path) -> None:
    import pandas

    data = columns()
    rows = [dict(zip(data, row, strict=True)) for row in zip(*data.values(), strict=True)]
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(data))
        writer.writeheader()
        writer.writerows(rows)
    tables = [data, rows, pandas.DataFrame(data), tmp_path / "table.csv", str(tmp_path / "table.csv")]
    found = [sp.analyze(table, response="error", factors="rank") for table in tables]
    assert len({repr(each.claims) for each in found}) == 1
    assert any(claim.status.value == "supported" for claim in found[0].claims)


def test_a_claim_list_is_a_sequence_with_a_frame_and_a_page() -> None:
    claims = sp.analyze(columns(), response="error", factors=["rank"]).claims
    assert len(claims) == len(list(claims)) == len(claims.to_pandas())
    assert [claim.status.value for claim in claims.supported()] == ["supported"] * len(claims.supported())
    assert isinstance(claims[:1], sp.ClaimList)
    assert "<table>" in claims._repr_html_()


def test_a_missing_response_is_a_failed_run() -> None:
    data = columns()
    data["error"][0] = float("nan")
    data["error"][1] = None
    found = sp.analyze(data, response="error", factors="rank")
    assert sum(run.state == "failed" for run in found.data.runs) == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "at least one row"),
        ({"rank": [1, 2], "error": [1.0]}, "same length"),
        ([{"rank": 1, "error": 2.0}, {"rank": 1}], "same columns"),
        (3, "must be a DataFrame"),
    ],
)
def test_what_is_no_table_is_refused(table: Any, message: str) -> None:
    with pytest.raises(sp.InputError, match=message):
        sp.analyze(table, response="error", factors="rank")


def test_alpha_and_scale_are_checked() -> None:
    with pytest.raises(sp.InputError, match="alpha must be at least"):
        sp.analyze(columns(), response="error", factors="rank", alpha=1.5)
    with pytest.raises(sp.InputError, match="scale must be"):
        sp.analyze(columns(), response="error", factors="rank", scale="cubic")  # type: ignore[arg-type]


def test_a_line_of_a_claim_states_its_status_once() -> None:
    lines = repr(sp.analyze({"rank": [4, 8], "error": [1.0, 2.0]}, response="error", factors="rank").claims).split("\n")
    assert lines and all(line.startswith("[") and "not resolved" not in line for line in lines)


def _rows(cells: list[dict[str, float]], effect: str, repeats: int) -> list[dict[str, float]]:
    rng = generator("tests", "tables", effect)
    return [
        {**cell, "y": float(np.exp(0.5 * cell[effect] + 0.1 * rng.standard_normal()))}
        for cell in cells
        for _ in range(repeats)
    ]


def test_a_missing_combination_is_named_and_no_level_is_dropped() -> None:
    cells = [{"a": a, "b": b} for a in range(3) for b in range(3) if (a, b) != (2, 1)]
    found = sp.analyze(_rows(cells, "a", 3), response="y", factors=["a", "b"])
    assert any(note.startswith("never run: a 2 with b 1") for note in found.notes)
    best = {claim.id: claim for claim in found.claims}["optimal_level:a"]
    assert best.status is Status.SUPPORTED
    assert isinstance(best.evidence, LevelEvidence)
    assert len(best.evidence.level_means) == 3
    assert "combination" in best.statement and "block" not in best.statement


def test_a_half_fraction_says_what_is_aliased() -> None:
    cells = [{"A": a, "B": b, "C": a * b} for a in (-1, 1) for b in (-1, 1)]
    found = sp.analyze(_rows(cells, "A", 4), response="y", factors=["A", "B", "C"])
    assert "the effect of A is aliased with the interaction B × C" in found.notes
    claims = {claim.id: claim for claim in found.claims}
    assert claims["main_effect:A"].status is Status.SUGGESTIVE
    assert "aliased with B × C" in claims["main_effect:A"].reason
    assert claims["main_effect:B"].status is Status.UNRESOLVED


def test_columns_that_change_together_are_aliased_and_others_are_tested() -> None:
    cells = [{"rank": r, "alpha": 2 * r, "rate": rate} for r in (1, 2, 4) for rate in (1, 2)]
    found = sp.analyze(_rows(cells, "rate", 3), response="y", factors=["rank", "alpha", "rate"])
    claims = {claim.id: claim for claim in found.claims}
    assert claims["main_effect:rate"].status is Status.SUPPORTED
    assert claims["optimal_level:alpha"].status is Status.NOT_TESTABLE
    assert claims["optimal_level:alpha"].reason == "aliased with rank"


def test_far_more_combinations_than_rows_are_refused_at_once() -> None:
    rng = generator("tests", "tables", "many")
    table = {name: rng.integers(60, size=400).tolist() for name in ("a", "b", "c")} | {"y": rng.random(400).tolist()}
    found = sp.analyze(table, response="y", factors=["a", "b", "c"])
    assert all(claim.status is Status.NOT_TESTABLE for claim in found.claims)
    assert "only 400 observations for" in found.claims[0].reason
