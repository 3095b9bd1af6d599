"""What to change after a failure: by its class, with the values that the run had."""

from collections.abc import Mapping
from typing import Any

from setpoint.analysis.data.experiment import RunResult
from setpoint.formatting import level_text, number_text
from setpoint.records.failure import FailureClass


def suggested_change(run: RunResult) -> str:
    """What to change before the failed run is tried again.

    The advice of the failing stage comes first, then what follows from the values that the run had, then what is said
    of the class.
    """
    failure = run.failure
    if failure is None:
        return "none known"
    usual = failure.failure_class.policy.suggestion
    own = failure.suggestion if failure.suggestion != usual else ""
    return own or _from_values(run, failure.failure_class) or usual


def _from_values(run: RunResult, failure_class: FailureClass) -> str:
    """Other values than those that the run had; empty where none would help, or the run had none of them."""
    if failure_class in {FailureClass.GPU_OOM, FailureClass.HOST_OOM}:
        smaller, shape = _halved(run, "batch_size", "batch_size"), _halved(run, "rank", "lora_rank")
        if not smaller and not shape:
            return ""
        change = " or ".join(filter(None, [smaller or "a smaller batch_size", shape]))
        if failure_class is FailureClass.HOST_OOM:
            return f"fewer --workers, then {change}"
        return f"{change}; the micro-batch was already as small as it can be"
    if failure_class is FailureClass.DIVERGED:
        return _halved(run, "learning_rate", "learning_rate")
    if failure_class is FailureClass.NO_LEARNING_SIGNAL and (warmer := _raised(run, "temperature")):
        return f"{warmer}, more SFT before GRPO, or another reward"
    return ""


def _found(run: RunResult, field: str) -> tuple[str, float] | None:
    """The stage and the value of a number among the run's resolved parameters, of the last stage that has it."""
    for name in ("grpo", "sft", "lora"):
        block: Any = run.resolved.get(name)
        if isinstance(block, Mapping) and isinstance(block.get(field), int | float) and block[field]:
            return name, float(block[field])
    return None


def _halved(run: RunResult, field: str, parameter: str) -> str:
    """`learning_rate=5e-5 instead of 1e-4`; empty where the run has no such value or it cannot be halved."""
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
