"""Tables of results and lists of claims, with text, notebook and pandas output."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from setpoint.analysis.data.claim import Claim
from setpoint.display import html_table, require_pandas, text_table


class ClaimList(Sequence[Claim]):
    """Claims that an experiment or a table supports, and those that remain open."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Store the claims in order."""
        self._claims = tuple(claims)

    @overload
    def __getitem__(self, index: int) -> Claim: ...

    @overload
    def __getitem__(self, index: slice) -> "ClaimList": ...

    def __getitem__(self, index: int | slice) -> "Claim | ClaimList":
        """Return one claim, or the list of a slice."""
        return ClaimList(self._claims[index]) if isinstance(index, slice) else self._claims[index]

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self._claims)

    def __iter__(self) -> Iterator[Claim]:
        """Iterate over the claims in order."""
        return iter(self._claims)

    def supported(self) -> "ClaimList":
        """Return only the supported claims."""
        return ClaimList([claim for claim in self._claims if claim.status.value == "supported"])

    def to_pandas(self) -> Any:
        """Return a DataFrame with one row per claim."""
        return require_pandas().DataFrame([_claim_row(claim) for claim in self._claims])

    def __repr__(self) -> str:
        """Return one line per claim."""
        if not self._claims:
            return "no claims"
        return "\n".join(f"[{claim.status.value}] {claim.heading}: {answer(claim)}" for claim in self._claims)

    def _repr_html_(self) -> str:
        rows = [(claim.status.value, claim.heading, answer(claim)) for claim in self._claims]
        return html_table("Claims", ("status", "question", "answer"), rows)


def answer(claim: Claim) -> str:
    """Return the statement of a claim for a place that also shows its status."""
    return claim.statement.removeprefix("not resolved: ")


def _claim_row(claim: Claim) -> dict[str, Any]:
    low, high = claim.interval or (None, None)
    return {
        "id": claim.id,
        "kind": claim.kind.value,
        "subject": None if claim.subject is None else str(claim.subject),
        "system": claim.system,
        "heading": claim.heading,
        "statement": claim.statement,
        "status": claim.status.value,
        "estimate": claim.estimate,
        "low": low,
        "high": high,
        "p_adjusted": claim.p_adjusted,
        "n_runs": claim.n_runs,
    }


@dataclass(frozen=True)
class Table:
    """Rows with the same columns.

    Attributes:
        title: title of the table.
        rows: column -> value.
        shown: columns displayed in notebooks; `to_pandas` returns all of them.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    shown: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over the rows."""
        return iter(self.rows)

    def to_pandas(self) -> Any:
        """Return a DataFrame with all columns."""
        return require_pandas().DataFrame([dict(row) for row in self.rows])

    def _columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.shown if self.rows and name in self.rows[0]) or tuple(
            self.rows[0] if self.rows else ()
        )

    def __repr__(self) -> str:
        """Return the displayed columns, aligned."""
        columns = self._columns()
        return text_table(columns, [[row[name] for name in columns] for row in self.rows])

    def _repr_html_(self) -> str:
        columns = self._columns()
        return html_table(self.title, columns, [[row[name] for name in columns] for row in self.rows])
