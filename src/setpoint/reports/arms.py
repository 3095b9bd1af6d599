"""Markdown tables that compare training arms; aligned, so that they also read as plain text."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from setpoint import problems
from setpoint.analysis.data.evaluations import Arm
from setpoint.artifacts import write_text
from setpoint.formatting import share_text
from setpoint.modes import CLOSED_LOOP_REPLANNING, mode_name
from setpoint.reports.content import REFERENCES

_MODES = tuple(mode_name(interval) for interval in (0, 1, CLOSED_LOOP_REPLANNING))
_COLUMNS = (
    "arm", "mode", "parsed", "success", "median regret", "p90 regret", "mean error", "median norm. error", "CPU-s"
)  # fmt: skip


def render_arms(arms: Sequence[Arm]) -> str:
    """Return an overview of all systems (if there are several), then one table per system.

    A cell with several seeds reads `mean (lowest–highest)`.
    """
    lines = _overview(arms)
    for system in dict.fromkeys(arm.system for arm in arms):
        chosen = [arm for arm in arms if arm.system == system]
        seeds = max(len(arm.by_seed) for arm in chosen)
        cases = max(scores.cases for arm in chosen for scores in arm.by_seed.values())
        lines += [f"### {system} ({seeds} seeds, {cases} test states)", ""]
        lines += _aligned([_COLUMNS, *(_row(arm) for mode in _MODES for arm in chosen if arm.mode == mode)])
        lines.append("")
    lines += [
        "Cells: mean over seeds (lowest–highest). regret: relative to the certified optimum with one control per step;",
        "error: final distance to the target (L2); norm. error: its largest component relative to the initial set;",
        "CPU-s: CPU time of training, including upstream stages. The references do not depend on replanning.",
    ]
    return "\n".join(lines) + "\n"


def _overview(arms: Sequence[Arm]) -> list[str]:
    """Return a table with one row per system, in its primary evaluation mode."""
    systems = list(dict.fromkeys(arm.system for arm in arms))
    if len(systems) < 2:
        return []
    primary = {name: problems.get(name).evaluation_mode for name in systems}
    shown = [arm for arm in arms if arm.mode == primary[arm.system].episodes]
    names = list(dict.fromkeys(arm.name for arm in shown))
    names.sort(key=lambda name: name in REFERENCES)  # references last
    rows = []
    for system in systems:
        cells = {arm.name: _success_and_regret(arm) for arm in shown if arm.system == system}
        rows.append((system, primary[system].replace("_", " "), *(cells.get(name, "–") for name in names)))
    return [
        "### All systems",
        "",
        *_aligned([("system", "mode", *names), *rows]),
        "",
        "Cells: success rate; median regret. For a language model the share of episodes whose answers all parse comes",
        "first. Means over seeds in the primary evaluation mode; closed loop: replanning every "
        f"{CLOSED_LOOP_REPLANNING} steps.",
        "",
    ]


def _success_and_regret(arm: Arm) -> str:
    parsed, success, regret = (mean(arm.values(name)) for name in ("parse_rate", "success_rate", "regret_median"))
    scores = f"{share_text(success)}; {share_text(regret)}"
    return scores if arm.name in REFERENCES else f"{share_text(parsed)}; {scores}"


def write_arms(arms: Sequence[Arm], path: Path) -> str:
    """Write the tables to `path` and return them."""
    text = render_arms(arms)
    write_text(path, text)
    return text


def _row(arm: Arm) -> tuple[str, ...]:
    return (
        arm.name,
        arm.mode.replace("_", " "),
        *(_spread(arm.values(name), share_text) for name in ("parse_rate", "success_rate")),
        *(_spread(arm.values(name), share_text) for name in ("regret_median", "regret_p90")),
        *(_spread(arm.values(name), "{:.4f}".format) for name in ("final_error", "normalised_error_median")),
        _spread(list(arm.cpu_s.values()), "{:.0f}".format) if arm.cpu_s else "–",
    )


def _spread(values: list[float], written: Callable[[float], str]) -> str:
    middle = sum(values) / len(values)
    texts = [written(value) for value in (middle, min(values), max(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]}–{texts[2]})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return [lines[0], rule, *lines[1:]]
