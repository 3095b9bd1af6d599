"""The table of results, with one row per run and system, as CSV and Parquet."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.artifacts import replacing
from setpoint.reports.content import one_line

Cell = str | int | float | bool | None

MEASUREMENT_COLUMNS = ("training_time_s", "cpu_core_hours", "gpu_hours", "peak_memory_gb", "peak_gpu_gb")
"""Columns of measured times and memory, which differ between equal experiments. All others are reproducible."""

EPISODE_METRICS = (
    "cases",
    "final_error",
    "final_error_se",
    "normalised_error",
    "control_cost",
    "regret_median",
    "regret_p90",
    "success_rate",
    "success_loose_rate",
    "parse_rate",
    "tokens",
)
MODE_METRICS = ("final_error", "success_rate", "regret_median", "parse_rate", "control_cost")
"""Metrics of the modes that are not primary, in columns such as `replan_5_final_error`."""
PHASES = {"base_": "base", "sft_": "after_sft", "dagger_": "after_dagger", "": "final"}
"""Column prefix -> the outcome in the primary evaluation mode; the final one has no prefix."""


def result_rows(data: ExperimentData) -> list[dict[str, Cell]]:
    """Return the rows in the order of the plan. All rows have the same columns; None means not measured."""
    parameters = list(dict.fromkeys(name for run in data.runs for name in _parameters(run)))
    modes = {
        mode
        for run in data.runs
        for system, outcome in run.outcomes.items()
        for mode in outcome.modes
        if mode != data.analysis.mode(system).episodes
    }
    return [_row(data, run, system, parameters, sorted(modes)) for run in data.runs for system in run.systems]


def _parameters(run: RunResult) -> dict[str, Cell]:
    """Return all resolved training parameters, swept or not, by the names that a sweep uses."""
    return {
        f"{group}{'_' if group == 'lora' else '.'}{name}": value
        for group in ("lora", "sft", "dagger", "grpo")
        for name, value in (run.resolved.get(group) or {}).items()
        if isinstance(value, str | int | float | bool)
    }


def _row(
    data: ExperimentData, run: RunResult, system: str, parameters: Sequence[str], other_modes: Sequence[str]
) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "run": run.name,
        "index": run.index,
        "configuration": run.configuration,
        "replicate": run.replicate,
        "seed": run.seed,
        "model_type": run.model_type,
        "training_type": run.training_type,
        "system": system,
        "mode": data.analysis.mode(system).episodes,
        "state": run.state,
        "failure_class": None if run.failure is None else run.failure.failure_class,
        "failure_reason": None if run.failure is None else run.failure.reason,
    }
    row |= {factor: run.level(factor) for factor in data.analysis.factors if factor not in row}
    resolved = _parameters(run)
    row |= {name: resolved.get(name) for name in parameters if name not in row}
    outcome = run.outcomes.get(system)
    for prefix, phase in PHASES.items():
        metrics: Mapping[str, float | None] = (getattr(outcome, phase) if outcome else None) or {}
        row |= {f"{prefix}{name}": metrics.get(name) for name in EPISODE_METRICS}
    row |= {
        f"{mode}_{name}": (outcome.modes.get(mode, {}) if outcome else {}).get(name)
        for mode in other_modes
        for name in MODE_METRICS
    }
    measured = (
        run.training_time_s,
        run.cost.cpu_core_hours,
        run.cost.gpu_hours,
        run.cost.peak_memory_gb,
        run.cost.peak_gpu_gb,
    )
    return row | dict(zip(MEASUREMENT_COLUMNS, measured, strict=True))


def csv_text(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Format `rows` as CSV. Spreadsheets do not read text cells as formulas, and every record is on one line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if rows:
        writer.writerow([inert(name) for name in rows[0]])
    writer.writerows([_csv_cell(value) for value in row.values()] for row in rows)
    return stream.getvalue()


def inert(text: str) -> str:
    """Put `text` on one line, and prefix an apostrophe if a spreadsheet would read it as a formula.

    See OWASP, "CSV Injection".
    """
    line = one_line(text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def _csv_cell(value: Cell) -> str:
    if value is None:
        return ""
    return inert(value) if isinstance(value, str) else str(value)


def write_parquet(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Write `rows` as Parquet; a column of both numbers and text becomes text."""
    import pyarrow as pa
    from pyarrow import parquet

    names = list(rows[0]) if rows else []
    columns = {name: _column([row[name] for row in rows]) for name in names}
    with replacing(path) as beside:
        parquet.write_table(pa.table(columns), beside)


def _column(values: list[Cell]) -> list[Cell]:
    """Convert a column to one type: mixed numbers to floats, anything else that is mixed to text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) > 1:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values
