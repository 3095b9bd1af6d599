"""Tables as text and as HTML for notebooks, and access to the optional package pandas."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from setpoint.errors import InputError
from setpoint.formatting import ROUND_OFF

_MOST_ROWS = 60


def cell_text(value: object) -> str:
    """Format a value for a table: four significant digits, 0 for round-off errors, empty for None."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return "0" if abs(value) < ROUND_OFF else f"{value:.4g}"


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a title; all text is escaped, and long tables are cut."""
    shown = list(rows)
    head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in header)
    cells = [[html.escape(cell_text(value)) for value in row] for row in shown[:_MOST_ROWS]]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    more = f"<p>… {len(shown) - _MOST_ROWS} more rows</p>" if len(shown) > _MOST_ROWS else ""
    return f"<p><b>{html.escape(title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def text_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned table; only the first rows of a long one are shown."""
    everything = list(rows)
    lines = [tuple(header), *(tuple(map(cell_text, row)) for row in everything[:_MOST_ROWS])]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    more = [f"… {len(everything) - _MOST_ROWS} more rows"] if len(everything) > _MOST_ROWS else []
    return "\n".join([*(line.rstrip() for line in padded), *more])


def require_pandas() -> Any:
    """Import pandas.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise InputError("a DataFrame needs pandas. Install it with: pip install pandas") from error
    return pandas
