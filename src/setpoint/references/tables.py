"""Baselines of a suite as tables, for a terminal and for Markdown."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setpoint.references.study import SystemReferences

_MISSING = "–"
Row = dict[str, float]


@dataclass(frozen=True)
class ReferenceTable:
    """A table of strings with a title and an explanatory note."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_text(self) -> Iterator[str]:
        """Yield the lines of a table with aligned columns."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        yield self.title
        for row in (self.header, *self.rows):
            cells = zip(row, widths, strict=True)
            yield "  ".join(
                f"{cell:<{width}}" if not i else f"{cell:>{width}}" for i, (cell, width) in enumerate(cells)
            )

    def as_markdown(self) -> Iterator[str]:
        """Yield the lines of a section with the note and the table."""
        yield f"## {self.title}"
        yield ""
        yield self.note
        yield ""
        yield f"| {' | '.join(self.header)} |"
        yield f"| --- |{' ---: |' * (len(self.header) - 1)}"
        for row in self.rows:
            yield f"| {' | '.join(row)} |"


def reference_tables(found: "Sequence[SystemReferences]") -> list[ReferenceTable]:
    """Return all tables that have data."""
    tables = [_optima(found), _regulator(found), _text(found)]
    clones = [name for name in ("linear", "knn", "mlp") if any(name in each.rows for each in found)]
    if clones:
        tables.append(_clones(found, clones))
    from setpoint.references.study import NOISY

    noisy = list(dict.fromkeys(name for each in found for name in each.rows if name.endswith(NOISY)))
    if noisy:
        tables.append(_noisy(found, noisy))
    return tables


def _optima(found: "Sequence[SystemReferences]") -> ReferenceTable:
    rows = []
    for each in found:
        certificate, optimum = each.certificate, each.rows.get("optimum", {})
        gap = certificate.get("duality_gap")
        rows.append(
            (
                each.system,
                f"{each.cases}",
                _share(each.rejected / max(1, each.cases + each.rejected)),
                each.optimum,
                _MISSING if not certificate else f"{certificate['residual']:.0e}",
                _MISSING if gap is None else f"{gap:.0e}",
                _agreement(each),
                ", ".join(f"{name} {count}" for name, count in certificate.get("solvers", {}).items()) or _MISSING,
                f"{each.ms_per_case:.1f}" if each.cases else _MISSING,
                _share(each.active_states),
                _share(each.active_controls),
                _cell(optimum, "success_rate", _share),
                _cell(optimum, "success_loose_rate", _share),
            )
        )
    header = ("system", "certified", "rejected", "optimum", "KKT residual", "duality gap")
    solving = ("solvers agree", "solved by", "ms per case")
    bounds = ("state bound active", "control bound active", "success", "within 0.1")
    note = (
        "Each case has a certified solution or was rejected, usually because no control satisfies the bounds. The KKT "
        "residual and the duality gap (convex problems only) are the worst over the cases. Solvers agree: number of "
        "leading cases certified by both IPOPT and the default solver (PIQP for convex problems, else fatrop), each "
        "run alone, and the largest relative difference of their costs. With local optima, the solvers may find "
        "different ones. Residuals, differences and times depend on the machine. Success is a normalised error of at "
        "most 0.05 without violation; even the optimum does not always reach it within the horizon."
    )
    return ReferenceTable("Certified optimum", note, (*header, *solving, *bounds), tuple(rows))


def _agreement(each: "SystemReferences") -> str:
    found = each.agreement
    if not found.compared:
        return _MISSING
    return f"{found.compared} of {found.states}: {found.largest_difference:.0e}"


def _regulator(found: "Sequence[SystemReferences]") -> ReferenceTable:
    rows = [
        (
            each.system,
            *_row(each, "lqr", ("regret_median", _percent), ("regret_mean", _percent), ("within_fixed_error", _share)),
            *_row(each, "lqr", ("violation_rate", _share), ("success_rate", _share)),
            *_row(
                each, "zero", ("final_error_median", _number), ("within_fixed_error", _share), ("success_rate", _share)
            ),
        )
        for each in found
    ]
    header = ("system", "LQR regret median", "regret mean", "error < 0.1", "violates", "success")
    note = (
        "Finite-horizon LQR of the linearisation at the target, clipped to the control bounds, and zero control. A "
        "negative regret comes from violating a bound. `error < 0.1` is the L2 error used in published tables; it is "
        "not comparable across plants."
    )
    zero = ("zero: median error", "zero: error < 0.1", "zero: success")
    return ReferenceTable("Clipped LQR and zero control", note, (*header, *zero), tuple(rows))


_TEXT = (
    ("optimum, controls off by 1 %", "1 % control noise"),
    ("optimum, controls to 2 decimals", "u to 2 decimals"),
    ("optimum, controls to 3 decimals", "u to 3 decimals"),
    ("optimum of the state to 2 decimals", "x0 to 2 decimals"),
)


def _text(found: "Sequence[SystemReferences]") -> ReferenceTable:
    columns = [(name, _error()) for name, _ in _TEXT]
    note = (
        "The optimum in open loop: with Gaussian noise of 1 % of the half range on every control, with controls "
        "rounded as in text, and planned for the initial state rounded to two decimals. Each cell: median L2 error; "
        "share with an error below 0.1; success."
    )
    return ReferenceTable(
        "Effect of text precision in open loop", note, *_packed(found, columns, [label for _, label in _TEXT])
    )


def _clones(found: "Sequence[SystemReferences]", clones: Sequence[str]) -> ReferenceTable:
    columns = [(name, (*_error(), ("regret_median", _percent))) for name in clones]
    note = (
        "Linear regression, five nearest neighbours and a network with two hidden layers of 64 units, from state to "
        "controls, in open loop. Each cell: median L2 error; share with an error below 0.1; success; median regret."
    )
    return ReferenceTable("Cloned controllers", note, *_packed(found, columns, clones))


def _noisy(found: "Sequence[SystemReferences]", names: Sequence[str]) -> ReferenceTable:
    from setpoint.modes import CLOSED_LOOP_REPLANNING
    from setpoint.references.study import DISTURBED_CASES, NOISY
    from setpoint.simulation import NOISE

    metrics = (("success_rate", _share), ("success_loose_rate", _share), ("regret_median", _percent))
    note = (
        f"The first {DISTURBED_CASES} cases, replanned every {CLOSED_LOOP_REPLANNING} steps, with Gaussian noise on "
        f"measured states ({_share(NOISE.state_noise)} of the half width of the initial set) and on controls "
        f"({_share(NOISE.input_noise)} of their half range). `tracking_lqr`, a time-varying LQR along the optimal "
        "trajectory, replaces the optimum, which ignores noise. `mpc` falls back to the clipped LQR if a state has no "
        "certified plan. Each cell: success; success within 0.1; median regret."
    )
    columns = [(name, metrics) for name in names]
    return ReferenceTable(
        "Closed loop under noise", note, *_packed(found, columns, [name.removesuffix(NOISY) for name in names])
    )


def _error() -> "_Metrics":
    return ("final_error_median", _number), ("within_fixed_error", _share), ("success_rate", _share)


_Metrics = tuple[tuple[str, Callable[[float], str]], ...]


def _packed(
    found: "Sequence[SystemReferences]", columns: Sequence[tuple[str, _Metrics]], labels: Sequence[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Build header and rows with several metrics per cell."""
    rows = [(each.system, *("; ".join(_row(each, name, *metrics)) for name, metrics in columns)) for each in found]
    return ("system", *labels), tuple(rows)


def _row(each: "SystemReferences", name: str, *columns: tuple[str, Callable[[float], str]]) -> list[str]:
    return [_cell(each.rows.get(name, {}), metric, style) for metric, style in columns]


def _cell(row: Row, metric: str, style: Callable[[float], str]) -> str:
    return style(row[metric]) if metric in row else _MISSING


def _share(value: float) -> str:
    return _MISSING if math.isnan(value) else f"{100 * value:.3g} %"


def _percent(value: float) -> str:
    return "> 10⁴ %" if value > 100 else f"{100 * value:.3g} %"


def _number(value: float) -> str:
    return f"{value:.3g}"
