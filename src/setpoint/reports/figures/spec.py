"""A figure: its Vega-Lite specification, its caption, and the look that all figures share.

Colours are the colour-blind-safe palette of Okabe and Ito (2008) with grey for black, so that they can be read on a
light and on a dark page; dashes and labels support them. Labels of rows stand above their marks, so that a figure can
be as narrow as a telephone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

from setpoint.reports.content import one_line
from setpoint.reports.figures.files import draw

Spec = dict[str, Any]
Row = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#7F7F7F")
INK, GREY, GREEN, BLUE, RED = "#24292F", "#7F7F7F", "#009E73", "#0072B2", "#D55E00"
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4, 2, 4])
ROW_HEIGHT = 36
LABEL_ABOVE = -13
FILE_WIDTH = 680
TITLE_WIDTH = 104
CONFIG: Spec = {
    "font": "system-ui, Liberation Sans, Arial, sans-serif",
    "view": {"stroke": None},
    "background": None,
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#D8DEE4",
        "domainColor": GREY,
        "tickColor": GREY,
        "labelOverlap": "greedy",
    },
    "legend": {
        "orient": "bottom",
        "direction": "vertical",
        "columns": 1,
        "labelLimit": 340,
        "labelFontSize": 11,
        "title": None,
        "labelColor": INK,
        "symbolStrokeWidth": 2,
    },
    "title": {"anchor": "start", "fontSize": 11, "fontWeight": "normal", "color": INK, "offset": 8},
    "header": {"labelColor": INK, "labelFontSize": 11},
    "text": {"color": INK, "fontSize": 11},
}
CONTAINER = "container"
"""Width of a panel that takes the width of the page or of the file, less `Figure.reserve`."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: file name without suffix, and the last part of its place in the page.
        caption: what it shows, which is also its text alternative.
        spec: Vega-Lite specification; a width of `container` is replaced by that of the page or of the file.
        reserve: pixels beside the panels for axis labels, in a figure of several panels.
    """

    name: str
    caption: str
    spec: Spec
    reserve: int = 0

    def __post_init__(self) -> None:
        """Put every text on one line without control characters, which neither SVG nor a page may contain."""
        object.__setattr__(self, "caption", one_line(self.caption))
        object.__setattr__(self, "spec", _clean(self.spec))

    def sized(self, width: int = FILE_WIDTH, *, title: bool = True) -> Spec:
        """Return the complete specification at a width in pixels, with the caption as title."""
        spec = _with_width(self.spec, width - self.reserve)
        head = {"title": wrap(self.caption, TITLE_WIDTH)} if title else {}
        return {"$schema": SCHEMA, "config": {**CONFIG, "background": "white"}, **head, **spec}

    def compact(self) -> Spec:
        """Return the specification with its data apart, each table once; layers often draw the same rows."""
        tables: dict[str, str] = {}
        spec: Spec = _apart(self.spec, tables)
        return {**spec, "datasets": {name: json.loads(rows) for rows, name in tables.items()}}

    def save(self, path: str | Path) -> Path:
        """Save the figure as `.svg`, `.pdf` or `.png`; return the path.

        Raises:
            InputError: another suffix, or vl-convert is not installed.
        """
        place = Path(path)
        draw([(self.sized(), place)])
        return place

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the figure for a notebook, as SVG."""
        with TemporaryDirectory() as folder:
            svg = self.save(Path(folder) / "figure.svg").read_text(encoding="utf-8")
        return {"image/svg+xml": svg, "text/plain": self.caption}


def _apart(value: Any, tables: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"values"}:
            return {"name": tables.setdefault(json.dumps(value["values"]), f"d{len(tables)}")}
        return {key: _apart(each, tables) for key, each in value.items()}
    return [_apart(each, tables) for each in value] if isinstance(value, list) else value


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else one_line(value)
    if isinstance(value, Mapping):
        return {key: _clean(each) for key, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value


def _with_width(value: Any, width: int) -> Any:
    if isinstance(value, Mapping):
        return {k: width if (k, v) == ("width", CONTAINER) else _with_width(v, width) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_width(each, width) for each in value]
    return value


def panel(layers: Sequence[Spec], height: int = 240) -> Spec:
    """Return one panel as wide as its place."""
    return {
        "width": CONTAINER,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": list(layers),
    }


def rows_panel(layers: Sequence[Spec], rows: Sequence[Row]) -> Spec:
    """Return a panel with one row per entry: its label above, and the layers at its middle."""
    y = {"field": "row", "type": "ordinal", "axis": None, "sort": None}
    label: Spec = {
        "data": {"values": list(rows)},
        "mark": {"type": "text", "align": "left", "dy": LABEL_ABOVE, "limit": {"expr": "width"}, "tooltip": None},
        "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "label"}},
    }
    drawn = [{**layer, "encoding": {"y": y, **layer["encoding"]}} for layer in layers]
    first, *rest = drawn
    zoomed = {**first, "params": [zoom("x")]}
    return panel([zoomed, *rest, label], ROW_HEIGHT * max(1, len(rows)))


def zoom(*channels: str) -> Spec:
    """Return the parameter that lets a reader drag an axis, and zoom with shift and the wheel."""
    select = {"type": "interval", "encodings": list(channels), "zoom": "wheel![event.shiftKey]"}
    return {"name": "zoom", "select": select, "bind": "scales"}


def number_axis(title: str, *, logarithmic: bool, **scale: Any) -> Spec:
    """Return the encoding of a quantitative axis, without a field."""
    kind = {"type": "log"} if logarithmic else {"type": "linear", "zero": False}
    return {
        "type": "quantitative",
        "scale": {**kind, "nice": False, "padding": 12, **scale},
        "axis": {"title": f"{title} (log scale)" if logarithmic else title, "tickCount": 5, "format": ".3~g"},
    }


def colours_of(names: Sequence[str]) -> Spec:
    """Return the colour scale of names, in their order."""
    return {"domain": list(names), "range": [COLOURS[k % len(COLOURS)] for k in range(len(names))]}


def dashes_of(names: Sequence[str]) -> Spec:
    """Return the scale of dashes, which tell names apart that share a colour."""
    return {"domain": list(names), "range": [DASHES[k // len(COLOURS) % len(DASHES)] for k in range(len(names))]}


def tip(field: str, title: str | None = None, form: str = "") -> Spec:
    """Return one line of a tooltip."""
    quantitative = {"type": "quantitative", "format": form} if form else {"type": "nominal"}
    return {"field": field, "title": title or field, **quantitative}


def rule_at(value: float, axis: Spec, channel: str = "x", **mark: Any) -> Spec:
    """Return a line across the panel at a value of the axis of `channel`."""
    other = {"x": "y", "y": "x"}[channel]
    across = {other: {"value": 0}, f"{other}2": {"value": {"y": "height", "x": "width"}[other]}}
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "tooltip": None, **mark},
        "encoding": {channel: {**axis, "datum": value}, **across},
    }
