"""Resource usage as text: time, memory and GPU hours, or `not measured`."""

from setpoint.analysis.data.experiment import ExperimentData
from setpoint.artifacts import TRAINING_KINDS
from setpoint.formatting import counted
from setpoint.reports.content import NOT_MEASURED, Report
from setpoint.reports.costs import cheapest_text, front_text, missing_text, unmeasured

MEASUREMENT_LINES = (
    "Date:",
    "- Total GPU hours:",
    "- Average training time:",
    "- Peak memory usage:",
    "- Cheapest near-best configuration:",
    "- Pareto front:",
    "- Predicted and actual cost:",
)
"""Prefixes of report lines that differ between equal experiments. All other lines are reproducible."""


def usage_lines(report: Report) -> list[tuple[str, str]]:
    """Return label and text of each line on resources; comparisons only if there are several configurations."""
    data = report.data
    several = any(len(ranked.configurations) > 1 for ranked in report.ranked)
    return [
        ("Total GPU hours", gpu_hours_text(data)),
        ("Average training time", training_time_text(data)),
        ("Peak memory usage", memory_text(data)),
        *([("Cheapest near-best configuration", cheapest_text(report))] if several else []),
        *([("Pareto front", front_text(report))] if several else []),
        ("Predicted and actual cost", predicted_text(data)),
    ]


def gpu_hours_text(data: ExperimentData) -> str:
    """Return the GPU hours and CPU core-hours of all distinct stages, including failed attempts."""
    if data.cost.wall_s is None:
        return NOT_MEASURED
    cpu = data.cost.cpu_core_hours
    core_hours = f"CPU: {NOT_MEASURED if cpu is None else f'{_hours(cpu)} core-hours'}"
    return f"{_hours(data.cost.gpu_hours or 0.0)} ({core_hours}{missing_text(data.unmeasured_attempts)})"


def training_time_text(data: ExperimentData) -> str:
    """Return the mean training time of successful runs, over all attempts."""
    known = [run for run in data.runs if run.state.ok and run.training_time_s is not None]
    if not known:
        return f"{NOT_MEASURED}: no training stage of a successful run was timed"
    average_s = sum(run.training_time_s or 0.0 for run in known) / len(known)
    training = {stage for run in known for role, stage in run.stages.items() if role in TRAINING_KINDS}
    missing = missing_text(sum(count for stage, count in unmeasured(known).items() if stage in training))
    return f"{duration_text(average_s)} per experiment{missing}"


def memory_text(data: ExperimentData) -> str:
    """Return the peak memory of any stage, on the host and on a GPU."""
    host, gpu = data.cost.peak_memory_gb, data.cost.peak_gpu_gb
    parts = ([f"{gpu:.2f} GB on one GPU"] if gpu is not None else []) + (
        [f"{host:.2f} GB of host memory"] if host is not None else []
    )
    return ", ".join(parts) or NOT_MEASURED


def predicted_text(data: ExperimentData) -> str:
    """Compare predicted and actual CPU time of the finished stages, with the coverage of the prediction intervals."""
    forecast = data.forecast
    if forecast is None:
        return "no cost estimate (no comparable earlier runs)"
    if not forecast.stages:
        return "no cost estimate (all stages had finished before)"
    done = forecast.finished
    predicted = counted(len(forecast.stages), "predicted stage")
    if not done:
        return f"no measurements yet ({predicted})"
    expected_s, measured_s = sum(p.expected_s for p in done), sum(p.measured_s or 0.0 for p in done)
    level, reach, gpu, gpu_used = f"{100 * forecast.level:g} %", "", "", ""
    if len(done) == len(forecast.stages):
        low, high = forecast.interval_s
        reach = f" ({level} interval {duration_text(low)} to {duration_text(high)})"
    if any(p.expected_gpu_hours or p.measured_gpu_hours for p in done):
        gpu = f" and {_hours(sum(p.expected_gpu_hours for p in done))} GPU hours"
        gpu_used = f" and {_hours(sum(p.measured_gpu_hours for p in done))} GPU hours"
    ratio = f"{measured_s / expected_s:.2f} × predicted, " if expected_s else ""
    inside = sum(p.inside for p in done)
    return (
        f"predicted {duration_text(expected_s)} of CPU time{reach}{gpu}; actual {duration_text(measured_s)}{gpu_used} "
        f"({ratio}{len(done)} of {predicted}); {inside} of {len(done)} within their {level} intervals"
    )


def duration_text(seconds: float) -> str:
    """Return `42.1 s`, `12.3 min` or `4.25 h`."""
    if seconds < 120.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60.0:.1f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.2f} h"


def _hours(hours: float) -> str:
    """Format with two decimals, or one significant digit below 0.01."""
    return f"{hours:.2f}" if hours == 0.0 or hours >= 0.01 else f"{hours:.1g}"
