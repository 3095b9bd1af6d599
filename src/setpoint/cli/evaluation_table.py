"""Evaluation results as a text table: one block per system and mode, one line per controller."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from setpoint.formatting import share_text

_ORDER = ("llm", "policy", "optimum", "mpc", "tracking_lqr", "lqr", "zero")
_LABELS = {
    "llm": "model",
    "tracking_lqr": "tracking LQR along the optimum",
    "lqr": "clipped LQR",
    "zero": "zero control",
}

_SHARE = "share"
# heading, metric, format
_COLUMNS = (
    ("error", "final_error", ".3g"),
    ("norm.", "normalised_error", ".3g"),
    ("cost", "control_cost", ".4g"),
    ("regret", "regret_median", _SHARE),
    ("r. 90 %", "regret_p90", _SHARE),
    ("success", "success_rate", _SHARE),
    ("loose", "success_loose_rate", _SHARE),
    ("viol.", "violation_rate", _SHARE),
    ("parsed", "parse_rate", _SHARE),
)
_LEGEND = (
    "error: final distance to the target; norm.: its largest component relative to the initial set; r. 90 %: 90 % "
    "quantile of regret; loose: norm. at most 0.1; viol.: share of cases that violate a bound"
)
_WHY_TRACKING = (
    "Under a disturbance the optimal plan no longer fits its state; an LQR that tracks the optimal trajectory stands "
    "in for it."
)
_MISSING = "–"
_WIDTH = 80
_NAME_WIDTH = 12

Metrics = Mapping[str, float]


def table(
    subject: str, summary: Mapping[str, Mapping[str, Mapping[str, Metrics]]], disturbance: str = ""
) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        subject: display name of what was evaluated.
        summary: system -> mode -> controller -> metrics, as in `setpoint.evaluation.summary`.
        disturbance: name of the disturbance; empty for none.
    """
    yield f"model: {subject}" if _has_model(summary) else f"controller: {subject}"
    if disturbance:
        yield f"disturbance: {disturbance}; regret is relative to the undisturbed optimum"
    for system, modes in summary.items():
        for names, controllers in _distinct(modes):
            cases = next(iter(controllers.values()))["cases"]
            yield ""
            yield f"{system}, {' and '.join(names)}, {cases:.0f} {'case' if cases == 1 else 'cases'}"
            yield from _block(controllers)
    yield ""
    yield from wrap(_LEGEND, _WIDTH)
    tracks = any("tracking_lqr" in controllers for modes in summary.values() for controllers in modes.values())
    if tracks and disturbance:
        yield from wrap(_WHY_TRACKING, _WIDTH)


def _distinct(modes: Mapping[str, Mapping[str, Metrics]]) -> list[tuple[list[str], Mapping[str, Metrics]]]:
    """Return the tables with the modes that share them: references are the same in every mode without disturbances."""
    found: list[tuple[list[str], Mapping[str, Metrics]]] = []
    for mode, controllers in modes.items():
        same = next((names for names, known in found if known == controllers), None)
        if same is None:
            found.append(([mode.replace("_", " ")], controllers))
        else:
            same.append(mode.replace("_", " "))
    return found


def _block(controllers: Mapping[str, Metrics]) -> Iterator[str]:
    """Yield the aligned lines of one table; a name that is too long for its column has a line of its own."""
    rows = [[_cell(controllers[name], *column[1:]) for column in _COLUMNS] for name in sorted(controllers, key=_place)]
    names = [_LABELS.get(name, name) for name in sorted(controllers, key=_place)]
    heads = [heading for heading, _, _ in _COLUMNS]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    yield " " * _NAME_WIDTH + _cells(heads, widths)
    for name, row in zip(names, rows, strict=True):
        if len(name) > _NAME_WIDTH:
            yield name
        yield f"{name if len(name) <= _NAME_WIDTH else '':<{_NAME_WIDTH}}{_cells(row, widths)}"


def _cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f" {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _place(name: str) -> int:
    return _ORDER.index(name)


def _has_model(summary: Mapping[str, Mapping[str, Mapping[str, Metrics]]]) -> bool:
    return any("llm" in controllers for modes in summary.values() for controllers in modes.values())


def _cell(metrics: Metrics, name: str, style: str) -> str:
    if name not in metrics:
        return _MISSING
    return share_text(metrics[name]) if style == _SHARE else format(metrics[name], style)
