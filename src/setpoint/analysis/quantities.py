"""What is measured about a run: names, units, and which direction is better."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from setpoint.episodes import EpisodeResult
from setpoint.errors import unknown_name

Metrics = Mapping[str, float | None]
"""Metric values by name; None where a value is not a finite number."""

JUDGED_MODES = {"open_loop": "open_loop", "closed_loop": "replan_5"}
"""The mode of the episodes that count, for a system's judged track."""


@dataclass(frozen=True)
class Quantity:
    """One metric. `source` says whether it comes from episodes or from a stage's clock."""

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
    """The metric called `name`.

    Raises:
        InputError: no such metric; the message lists the known ones.
    """
    if name not in QUANTITIES:
        raise unknown_name("metric", name, QUANTITIES)
    return QUANTITIES[name]


def summarise(episodes: Iterable[EpisodeResult], judged: str) -> dict[str, float | None] | None:
    """Metrics over the cases of the judged mode; None where there are no such episodes.

    Besides the metrics of `QUANTITIES` that come from episodes: `cases`, `success_loose_rate`, and `final_error_se`,
    the standard error that the number of cases leaves in `final_error` (None for one case).
    """
    mode = JUDGED_MODES.get(judged, judged)
    rows = [episode for episode in episodes if episode.mode == mode]
    if not rows:
        return None
    errors = np.array([row.final_error for row in rows])
    regrets = np.array([row.regret for row in rows])
    spread = float(errors.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else float("nan")
    values = {
        "cases": float(len(rows)),
        "final_error": float(errors.mean()),
        "final_error_se": spread,
        "normalised_error": float(np.mean([row.normalised_error for row in rows])),
        "control_cost": float(np.mean([row.control_cost for row in rows])),
        "regret_median": float(np.median(regrets)),
        "regret_p90": float(np.quantile(regrets, 0.9)),
        "success_rate": float(np.mean([row.success for row in rows])),
        "success_loose_rate": float(np.mean([row.success_loose for row in rows])),
        "parse_rate": float(np.mean([row.parsed for row in rows])),
        "tokens": float(np.mean([row.tokens for row in rows])),
    }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
