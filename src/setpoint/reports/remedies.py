"""Suggested changes after a failure, by its class and the values of the run."""

from collections.abc import Mapping
from typing import Any

from setpoint.analysis.data.experiment import RunResult
from setpoint.formatting import level_text, number_text
from setpoint.records.failure import FailureClass


def suggested_change(run: RunResult) -> str:
    """Return what to change before a failed run is retried.

    The suggestion of the failed stage comes first, then one from the run's values, then the default of the class.
    """
    failure = run.failure
    if failure is None:
        return "none known"
    usual = failure.failure_class.policy.suggestion
    own = failure.suggestion if failure.suggestion != usual else ""
    return own or _from_values(run, failure.failure_class) or usual


def _from_values(run: RunResult, failure_class: FailureClass) -> str:
    """Suggest other values than the run's; empty if none would help, or if the run does not have the parameter."""
    if failure_class in {FailureClass.GPU_OOM, FailureClass.HOST_OOM}:
        smaller, shape = _halved(run, "batch_size", "batch_size"), _halved(run, "rank", "lora_rank")
        if not smaller and not shape:
            return ""
        change = " or ".join(filter(None, [smaller or "a smaller batch_size", shape]))
        if failure_class is FailureClass.HOST_OOM:
            return f"fewer --workers, then {change}"
        return f"{change}; the micro-batch was already at its minimum"
    if failure_class is FailureClass.DIVERGED:
        return _halved(run, "learning_rate", "learning_rate")
    if failure_class is FailureClass.NO_LEARNING_SIGNAL and (warmer := _raised(run, "temperature")):
        return f"{warmer}, more SFT before GRPO, or another reward"
    return ""


def _found(run: RunResult, field: str) -> tuple[str, float] | None:
    """Return stage and value of a numeric resolved parameter, of the last stage that has it."""
    for name in ("grpo", "dagger", "sft", "lora"):
        block: Any = run.resolved.get(name)
        if isinstance(block, Mapping) and isinstance(block.get(field), int | float) and block[field]:
            return name, float(block[field])
    return None


def _halved(run: RunResult, field: str, parameter: str) -> str:
    """Return `learning_rate=5e-5 instead of 1e-4`; empty if the run has no such value or it cannot be halved."""
    found = _found(run, field)
    if found is None or (parameter != "learning_rate" and found[1] < 2):
        return ""
    half = found[1] / 2.0 if parameter == "learning_rate" else float(int(found[1]) // 2)
    name = parameter if found[0] == "lora" else f"{found[0]}.{parameter}"
    return f"{name}={level_text(half if half % 1 else int(half))} instead of {level_text(found[1])}"


def _raised(run: RunResult, field: str) -> str:
    block = run.resolved.get("grpo")
    value = block.get(field) if isinstance(block, Mapping) else None
    return f"grpo.{field}={number_text(1.3 * value, 2)} instead of {level_text(value)}" if value else ""
