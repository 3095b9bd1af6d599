"""Evaluation results as a text table: one block per system and mode, one line per controller."""

from collections.abc import Iterator, Mapping

from setpoint.formatting import share_text

_ORDER = ("llm", "policy", "optimum", "mpc", "tracking_lqr", "lqr", "zero")

_SHARE = "share"
# heading, metric, format
_COLUMNS = (
    ("final error", "final_error", ".4g"),
    ("normalised", "normalised_error", ".4g"),
    ("cost", "control_cost", ".5g"),
    ("regret median", "regret_median", _SHARE),
    ("regret 90 %", "regret_p90", _SHARE),
    ("success", "success_rate", _SHARE),
    ("within 0.1", "success_loose_rate", _SHARE),
    ("violates", "violation_rate", _SHARE),
    ("parsed", "parse_rate", _SHARE),
)
_MISSING = "–"
_NAME = max(map(len, _ORDER))

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
        for mode, controllers in modes.items():
            cases = next(iter(controllers.values()))["cases"]
            yield ""
            yield f"{system}, {mode.replace('_', ' ')}, {cases:.0f} {'case' if cases == 1 else 'cases'}"
            yield f"{'':<{_NAME}}" + "".join(f" {heading:>14}" for heading, _, _ in _COLUMNS)
            for name in sorted(controllers, key=_ORDER.index):
                yield f"{name:<{_NAME}}" + "".join(
                    f" {_cell(controllers[name], *column[1:]):>14}" for column in _COLUMNS
                )


def _has_model(summary: Mapping[str, Mapping[str, Mapping[str, Metrics]]]) -> bool:
    return any("llm" in controllers for modes in summary.values() for controllers in modes.values())


def _cell(metrics: Metrics, name: str, style: str) -> str:
    if name not in metrics:
        return _MISSING
    return share_text(metrics[name]) if style == _SHARE else format(metrics[name], style)
