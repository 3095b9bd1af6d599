"""`analyze` on a DataFrame, on columns, on rows and on a file: the same claims."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import setpoint as sp


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
