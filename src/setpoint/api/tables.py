"""Statistical analysis of any table of results."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from setpoint.analysis.data import report_wise
from setpoint.analysis.data.claim import all_caveats
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.tables import TableQuestion, read_table, remarks, table_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.api.results import ClaimList
from setpoint.arguments import require_flag, require_number, require_text, require_texts
from setpoint.errors import InputError, shown
from setpoint.records.margin import margin_of

LEAST_ALPHA = 1e-9
"""Smallest alpha at which the quantiles of the tests are accurate to the printed digits."""


@dataclass(frozen=True)
class TableAnalysis:
    """Claims from a table of results.

    Attributes:
        claims: claims, in the order of a report.
        notes: caveats on the claims.
    """

    question: TableQuestion
    data: ExperimentData
    claims: ClaimList
    notes: tuple[str, ...]

    def strict(self) -> "TableAnalysis":
        """Return the analysis corrected for all families of tests together.

        The significance level then bounds the probability of any false supported claim in the report.
        """
        alpha = self.question.alpha
        error_rate = report_wise.error_note(self.claims, alpha)
        claims = ClaimList(report_wise.strict(self.claims, alpha))
        return replace(self, claims=claims, notes=tuple(note for note in self.notes if note != error_rate))

    def __repr__(self) -> str:
        """Return claims and notes, one line each."""
        return "\n".join([repr(self.claims), *(f"Note: {note}." for note in self.notes)])

    def _repr_html_(self) -> str:
        return self.claims._repr_html_()


def analyze(
    table: Any,
    *,
    response: str,
    factors: str | Sequence[str],
    block: str | None = None,
    larger_is_better: bool = False,
    scale: Literal["log", "linear"] = "log",
    alpha: float = 0.05,
    adaptive: bool = False,
    trend: str | Sequence[str] | None = None,
    equivalence: str | float | None = None,
) -> TableAnalysis:
    """Test which factors affect a response, and which levels and combinations are best.

    Args:
        table: a DataFrame, a mapping of columns, a list of rows (mappings), or the path of a CSV file. One row is one
            independent run; a missing or infinite response is a failed run.
        response: column with the metric.
        factors: columns with the parameters.
        block: column whose rows with the same label share something, such as a seed, a machine or a dataset.
        larger_is_better: True if larger values of the response are better.
        scale: `log` compares ratios, `linear` differences.
        alpha: significance level of all tests.
        adaptive: True if earlier results decided which rows were run; every claim is then exploratory.
        trend: numeric factors that are tested for a linear and a curved trend, instead of for any difference between
            their levels.
        equivalence: largest difference between two levels that does not matter: a percentage such as `5%` on a log
            scale, a difference in units of the response on a linear one. None: equivalence is not tested.

    Raises:
        InputError: a column is missing, the response is not numeric, or the table has no rows.
    """
    if not LEAST_ALPHA <= require_number(alpha, "alpha") < 1.0:
        raise InputError(f"alpha must be at least {LEAST_ALPHA:g} and less than 1, got {alpha:g}.")
    if scale not in ("log", "linear"):
        raise InputError(f"scale must be 'log' or 'linear', got {shown(scale)}.")
    question = TableQuestion(
        require_text(response, "response"),
        require_texts(factors, "factors"),
        None if block is None else require_text(block, "block"),
        require_flag(larger_is_better, "larger_is_better"),
        scale == "log",
        alpha,
        require_flag(adaptive, "adaptive"),
        () if trend is None else tuple(dict.fromkeys(require_texts(trend, "trend"))),
        None if equivalence is None else margin_of(str(equivalence), logarithmic=scale == "log"),
    )
    name, rows = _rows(table)
    data = table_experiment(rows, question, name)
    claims = ClaimList(experiment_claims(data))
    return TableAnalysis(question, data, claims, tuple(_notes(rows, question, data, claims)))


def _notes(
    rows: Sequence[Mapping[str, str]], question: TableQuestion, data: ExperimentData, claims: ClaimList
) -> list[str]:
    notes = list(all_caveats(claims))
    error_rate = report_wise.error_note(claims, question.alpha)
    notes += [error_rate] if error_rate else []
    if any("has no logarithm" in claim.reason for claim in claims):
        notes.append(
            "zero and negative values have no logarithm; use scale linear to compare differences instead of ratios"
        )
    notes += remarks(rows, question)
    notes += [
        f"{factor} has a single level, so there is nothing to compare"
        for factor in question.factors
        if len({run.level(factor) for run in data.runs}) == 1
    ]
    return notes


def _rows(table: Any) -> tuple[str, list[dict[str, str]]]:
    """Return a name and the rows as text, as in a CSV file.

    Raises:
        InputError: the type is not supported, there are no rows, or the rows have different columns.
    """
    if isinstance(table, str | Path):
        return Path(table).stem, read_table(Path(table))
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        _require_names(table.columns)
        records = table.to_dict("records")
    elif isinstance(table, Mapping):
        uneven = next((name for name, values in table.items() if not _is_column(values)), None)
        if uneven is not None:
            raise InputError(f"column {shown(uneven)} must be a list of values, got {shown(table[uneven])}.")
        columns = {name: list(values) for name, values in table.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise InputError("every column of the table must have the same length.")
        records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    elif isinstance(table, Sequence):
        records = list(table)
    else:
        raise InputError(f"the table must be a DataFrame, columns, rows or a path, got {shown(table)}.")
    if not records or not all(isinstance(row, Mapping) for row in records):
        raise InputError("the table must have at least one row, and every row must map columns to values.")
    _require_names(records[0])
    if any(row.keys() != records[0].keys() for row in records):
        raise InputError("every row of the table must have the same columns.")
    return "table", [{name: _cell(value) for name, value in row.items()} for row in records]


def _is_column(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)


def _require_names(columns: Iterable[Any]) -> None:
    """Check that every column has a name of its own.

    Raises:
        InputError: a name is not text, or two are equal.
    """
    names = list(columns)
    unnamed = [name for name in names if not isinstance(name, str)]
    if unnamed:
        raise InputError(f"the columns of the table must be named by text, got {shown(unnamed[0])}. Rename it.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"duplicate column {', '.join(repeated)} in the table. Give every column a unique name.")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if hasattr(value, "item"):  # repr() of a NumPy scalar includes its type
        value = value.item()
    return repr(value) if isinstance(value, float) else str(value)
