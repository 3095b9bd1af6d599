"""The table of training arms, as Markdown that reads as plain text too."""

from collections.abc import Sequence
from pathlib import Path

from setpoint.analysis.arms import Arm

_MODES = {"open_loop": "open loop", "replan_1": "replan 1", "replan_5": "replan 5"}
_COLUMNS = ("arm", "mode", "parsed", "success", "median regret %", "p90 regret %", "error L2", "error norm.", "CPU-s")


def render_arms(arms: Sequence[Arm]) -> str:
    """One table per system; a cell with several seeds reads `mean (lowest–highest)`."""
    lines = []
    for system in dict.fromkeys(arm.system for arm in arms):
        chosen = [arm for arm in arms if arm.system == system]
        seeds = max(len(arm.by_seed) for arm in chosen)
        cases = max(scores.cases for arm in chosen for scores in arm.by_seed.values())
        lines += [f"### {system} ({seeds} seeds, {cases} test states)", ""]
        lines += _aligned([_COLUMNS, *(_row(arm) for mode in _MODES for arm in chosen if arm.mode == mode)])
        lines.append("")
    lines += [
        "Cells: mean over seeds (lowest–highest). Regret is against the certified optimum with one move per step;",
        "error L2 is the mean final distance, error norm. the median of the largest component relative to the initial",
        "set; CPU-s are those of training, upstream stages included. References do not change by replanning.",
    ]
    return "\n".join(lines) + "\n"


def write_arms(arms: Sequence[Arm], path: Path) -> str:
    """Write the tables to `path` and return their text."""
    text = render_arms(arms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return text


def _row(arm: Arm) -> tuple[str, ...]:
    regret = [100 * value for value in arm.values("regret_median")], [100 * value for value in arm.values("regret_p90")]
    return (
        arm.name,
        _MODES[arm.mode],
        _spread(arm.values("parse_rate"), 3),
        _spread(arm.values("success_rate"), 3),
        _spread(regret[0], 2),
        _spread(regret[1], 1),
        _spread(arm.values("final_error"), 4),
        _spread(arm.values("normalised_error"), 4),
        _spread(list(arm.cpu_s.values()), 0) if arm.cpu_s else "–",
    )


def _spread(values: list[float], decimals: int) -> str:
    middle = sum(values) / len(values)
    texts = [f"{value:.{decimals}f}" for value in (middle, min(values), max(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]}–{texts[2]})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return [lines[0], rule, *lines[1:]]
