"""Metrics of a run: names, units, and which direction is better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from setpoint.episodes import EpisodeColumns
from setpoint.errors import unknown_name
from setpoint.modes import EvaluationMode

Metrics = Mapping[str, float | None]
"""Metric values by name; None where a value is not a finite number."""


@dataclass(frozen=True)
class Quantity:
    """One metric; `source` is `episodes`, or `measured` for time and memory."""

    name: str
    label: str
    unit: str
    better: Literal["smaller", "larger"]
    source: Literal["episodes", "measured"]


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("final_error", "final error", "", "smaller", "episodes"),
        Quantity("normalised_error", "normalised final error", "", "smaller", "episodes"),
        Quantity("control_cost", "control cost J", "", "smaller", "episodes"),
        Quantity("regret_median", "median regret", "", "smaller", "episodes"),
        Quantity("regret_p90", "90 % quantile of regret", "", "smaller", "episodes"),
        Quantity("success_rate", "success rate", "", "larger", "episodes"),
        Quantity("parse_rate", "parse rate", "", "larger", "episodes"),
        Quantity("tokens", "tokens per case", "", "smaller", "episodes"),
        Quantity("training_time", "training time", "s", "smaller", "measured"),
        Quantity("gpu_hours", "GPU hours", "h", "smaller", "measured"),
        Quantity("cpu_core_hours", "CPU core-hours", "h", "smaller", "measured"),
        Quantity("peak_memory_gb", "peak memory", "GB", "smaller", "measured"),
    )
}


def quantity(name: str) -> Quantity:
    """Return the metric `name`.

    Raises:
        InputError: there is no such metric; the message lists the known ones.
    """
    if name not in QUANTITIES:
        raise unknown_name("metric", name, QUANTITIES)
    return QUANTITIES[name]


@dataclass(frozen=True)
class CaseValues:
    """Metric values of single test cases, by which runs can be paired.

    Attributes:
        case_id: (cases,).
        values: metric -> (cases,).
    """

    case_id: np.ndarray
    values: Mapping[str, np.ndarray]


CASE_METRICS = ("final_error", "normalised_error", "control_cost")
"""Metrics that are kept for single cases; a run's value is their mean."""


def episodes_in_mode(episodes: EpisodeColumns, mode: EvaluationMode) -> EpisodeColumns:
    """Return the episodes of one evaluation mode."""
    return episodes.where(episodes.mode == mode.episodes)


def case_values(rows: EpisodeColumns) -> CaseValues | None:
    """Return the values of single cases; None if there are none."""
    if not len(rows.case_id):
        return None
    return CaseValues(rows.case_id, {name: getattr(rows, name) for name in CASE_METRICS})


MEANS = {
    "final_error": "final_error",
    "normalised_error": "normalised_error",
    "control_cost": "control_cost",
    "success_rate": "success",
    "success_loose_rate": "success_loose",
    "parse_rate": "parsed",
    "tokens": "tokens",
}
"""Metric -> the column that it averages."""


def summarise(rows: EpisodeColumns) -> dict[str, float | None] | None:
    """Summarise the cases of one mode; None if there are none.

    The result has the metrics of `QUANTITIES` that come from episodes, `cases`, `success_loose_rate`, and
    `final_error_se`, the standard error of `final_error` over the cases (None for one case).
    """
    count = len(rows.case_id)
    if not count:
        return None
    spread = float(rows.final_error.std(ddof=1)) / count**0.5 if count > 1 else float("nan")
    ordered = np.sort(rows.regret)
    values = {
        "cases": float(count),
        "final_error_se": spread,
        "regret_median": _quantile(ordered, 0.5),
        "regret_p90": _quantile(ordered, 0.9),
        **dict(
            zip(
                MEANS, np.array([getattr(rows, column) for column in MEANS.values()]).mean(axis=1).tolist(), strict=True
            )
        ),
    }
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _quantile(ordered: np.ndarray, share: float) -> float:
    """Return exactly `np.quantile` of sorted values, but much faster for short arrays.

    Between two infinite values it is infinite; with a NaN, which sorts to the end, it is NaN.
    """
    if math.isnan(ordered[-1]):
        return math.nan
    position = share * (len(ordered) - 1)
    index = int(position)
    low, high = float(ordered[index]), float(ordered[min(index + 1, len(ordered) - 1)])
    if low == high:
        return low
    part = position - index
    # `np.quantile` interpolates from the nearer end (`_lerp` in numpy/lib); the last bit depends on it.
    return high - (high - low) * (1.0 - part) if part >= 0.5 else low + (high - low) * part
