"""Time, memory and GPU hours as text; what was not measured says so."""

from setpoint.analysis.experiment import ExperimentData
from setpoint.analysis.wording import counted
from setpoint.reports.content import NOT_MEASURED

MEASUREMENT_LINES = (
    "Date:",
    "- Total GPU hours:",
    "- Average training time:",
    "- Peak memory usage:",
    "- Cheapest of the best:",
    "- Pareto front:",
    "- Predicted cost:",
)
"""Beginnings of the lines of a report that differ between two equal experiments. All others are reproducible."""


def gpu_hours_text(data: ExperimentData) -> str:
    """GPU hours of every distinct stage, failed attempts included; on a machine without GPU the core-hours."""
    if data.cost.wall_s is None:
        return NOT_MEASURED
    missing = data.unmeasured_attempts
    rest = f"; {counted(missing, 'attempt')} {NOT_MEASURED}" if missing else ""
    cpu = data.cost.cpu_core_hours
    core_hours = f"CPU: {NOT_MEASURED if cpu is None else f'{_hours(cpu)} core-hours'}"
    return f"{_hours(data.cost.gpu_hours or 0.0)} ({core_hours}{rest})"


def training_time_text(data: ExperimentData) -> str:
    """The mean over successful runs of the seconds that training took."""
    times = [run.training_time_s for run in data.runs if run.state == "ok" and run.training_time_s is not None]
    if not times:
        return f"{NOT_MEASURED} per experiment"
    return f"{duration_text(sum(times) / len(times))} per experiment"


def memory_text(data: ExperimentData) -> str:
    """The largest memory of any stage, of the host and of a GPU."""
    host, gpu = data.cost.peak_memory_gb, data.cost.peak_gpu_gb
    parts = ([f"{gpu:.2f} GB on one GPU"] if gpu is not None else []) + (
        [f"{host:.2f} GB of host memory"] if host is not None else []
    )
    return ", ".join(parts) or NOT_MEASURED


def prediction_text(data: ExperimentData) -> str:
    """What the stages were expected to cost before they ran, beside what they did."""
    predicted, actual = data.prediction.get("predicted"), data.prediction.get("actual")
    if not predicted or not actual or not actual["stages_predicted"]:
        return "none: no stage like these had run here before"
    expected = duration_text(actual["predicted_cpu_s"])
    if actual["stages_finished"] == actual["stages_predicted"]:
        low, high = predicted["cpu_s_interval"]
        level = 100 * data.prediction["level"]
        expected += f" of one core ({level:g} %: {duration_text(low)} to {duration_text(high)})"
    else:
        expected += " of one core for those that finished"
    gpu = f", {_hours(predicted['gpu_hours'])} GPU hours" if predicted["gpu_hours"] else ""
    gpu_spent = f", {_hours(actual['gpu_hours'])} GPU hours" if predicted["gpu_hours"] else ""
    ratio = actual["actual_over_predicted"]
    return (
        f"{expected}{gpu}; actual {duration_text(actual['cpu_s'])}{gpu_spent}"
        f"{'' if ratio is None else f', {ratio:.2f} times that'}, over {actual['stages_finished']} of "
        f"{counted(actual['stages_predicted'], 'predicted stage')}"
    )


def duration_text(seconds: float) -> str:
    """`42.1 s`, `12.3 min` or `4.25 h`."""
    if seconds < 120.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60.0:.1f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.2f} h"


def _hours(hours: float) -> str:
    """Two decimals, more where they would all be zero."""
    return f"{hours:.2f}" if hours == 0.0 or hours >= 0.01 else f"{hours:.1g}"
