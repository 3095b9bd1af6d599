"""Tables of results and lists of claims, for programs, notebooks and people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from setpoint.analysis.data.claim import Claim
from setpoint.api.html import cell_text, html_table, require_pandas


class ClaimList(Sequence[Claim]):
    """The claims that an experiment or a table supports, with those that it leaves open."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        """Keep the claims in their order."""
        self._claims = tuple(claims)

    @overload
    def __getitem__(self, index: int) -> Claim: ...

    @overload
    def __getitem__(self, index: slice) -> "ClaimList": ...

    def __getitem__(self, index: int | slice) -> "Claim | ClaimList":
        """One claim, or a list of some."""
        return ClaimList(self._claims[index]) if isinstance(index, slice) else self._claims[index]

    def __len__(self) -> int:
        """Number of claims."""
        return len(self._claims)

    def __iter__(self) -> Iterator[Claim]:
        """The claims in their order."""
        return iter(self._claims)

    def supported(self) -> "ClaimList":
        """The supported claims only."""
        return ClaimList([claim for claim in self._claims if claim.status.value == "supported"])

    def to_pandas(self) -> Any:
        """A DataFrame with one row per claim."""
        return require_pandas().DataFrame([_claim_row(claim) for claim in self._claims])

    def __repr__(self) -> str:
        """One line per claim."""
        return "\n".join(f"[{claim.status.value}] {claim.heading}: {claim.statement}" for claim in self._claims)

    def _repr_html_(self) -> str:
        rows = [(claim.status.value, claim.heading, claim.statement) for claim in self._claims]
        return html_table("Claims", ("status", "question", "answer"), rows)


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
    """Rows of equal columns.

    Attributes:
        title: what the rows are.
        rows: column -> value.
        shown: the columns that a notebook shows; all of them are in `to_pandas`.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    shown: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """The rows."""
        return iter(self.rows)

    def to_pandas(self) -> Any:
        """A DataFrame with all columns."""
        return require_pandas().DataFrame([dict(row) for row in self.rows])

    def _columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.shown if self.rows and name in self.rows[0]) or tuple(
            self.rows[0] if self.rows else ()
        )

    def __repr__(self) -> str:
        """The shown columns, aligned."""
        columns = self._columns()
        lines = [columns, *(tuple(cell_text(row[name]) for name in columns) for row in self.rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
        padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in padded)

    def _repr_html_(self) -> str:
        columns = self._columns()
        return html_table(self.title, columns, [[row[name] for name in columns] for row in self.rows])
