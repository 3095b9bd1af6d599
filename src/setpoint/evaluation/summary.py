"""Summary metrics of episodes by system, mode and controller."""

from collections.abc import Iterable

import numpy as np

from setpoint.episodes import EpisodeResult

Summary = dict[str, dict[str, dict[str, dict[str, float]]]]
"""System -> mode -> controller -> metric -> value."""


def summarise(episodes: Iterable[EpisodeResult]) -> Summary:
    """Compute metrics over the cases of each system, mode and controller; failed cases count.

    Non-finite values are omitted.
    """
    groups: dict[tuple[str, str, str], list[EpisodeResult]] = {}
    for episode in episodes:
        groups.setdefault((episode.system, episode.mode, episode.controller), []).append(episode)
    found: Summary = {}
    for (system, mode, controller), rows in groups.items():
        found.setdefault(system, {}).setdefault(mode, {})[controller] = _metrics(rows)
    return found


def _metrics(rows: list[EpisodeResult]) -> dict[str, float]:
    regret = np.array([row.regret for row in rows])
    values = {
        "cases": len(rows),
        "final_error": np.mean([row.final_error for row in rows]),
        "normalised_error": np.mean([row.normalised_error for row in rows]),
        "control_cost": np.mean([row.control_cost for row in rows]),
        "regret_median": np.median(regret),
        "regret_p90": np.quantile(regret, 0.9),
        "violation_rate": np.mean([row.violation_count > 0 for row in rows]),
        "success_rate": np.mean([row.success for row in rows]),
        "success_loose_rate": np.mean([row.success_loose for row in rows]),
        "parse_rate": np.mean([row.parsed for row in rows]),
        "tokens": np.mean([row.tokens for row in rows]),
    }
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}
