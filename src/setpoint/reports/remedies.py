"""What to change after a failure: by its class, with the values that the run had."""

from collections.abc import Mapping
from typing import Any

from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.formatting import level_text, number_text

MEMORY = "the micro-batch was already as small as it goes"
AGAIN = "nothing in the configuration: try it again"
REMEDIES = {
    "timeout": "more time (--time-limit-min), or fewer steps; it goes on from its checkpoint",
    "preempted": f"{AGAIN}; it goes on from its checkpoint",
    "node_failure": f"{AGAIN}, on another node",
    "transient": AGAIN,
    "stalled": "a longer --stall-limit-min if the stage is slow and not hung; else try it again",
    "storage": "free space on the disk, then resume",
    "data": "verify the data set, or generate it again under another name",
    "config": "the value that the reason names",
    "corrupt_artifact": f"{AGAIN}; the damaged file is computed anew",
    "crash": f"{AGAIN}; if it fails the same way, the traceback in its log is a defect to report",
    "lost": f"{AGAIN}; if it vanishes again, give it more memory",
    "blocked": "mend the stage that it needs; it follows by itself",
}


SETTLED = frozenset({"diverged", "no_learning_signal", "config"})
"""Classes that a run's frozen values bring about: tried again it fails again, and only a new experiment can help."""


def fails_again(failure_class: str | None) -> bool:
    """Whether a retry, which keeps every value, cannot help."""
    return failure_class in SETTLED


def suggested_change(run: RunResult) -> str:
    """What to change before the failed run is tried again: the failing stage's own advice, else that of the class."""
    if run.failure is None:
        return "none known"
    return run.failure.suggestion or _by_class(run, run.failure.failure_class)


def _by_class(run: RunResult, failure_class: str) -> str:
    if failure_class in {"gpu_oom", "host_oom"}:
        smaller = _halved(run, "batch_size", "batch_size")
        shape = _halved(run, "rank", "lora_rank")
        change = f"{smaller or 'a smaller batch_size'}{f' or {shape}' if shape else ''}"
        return f"{change}; {MEMORY}" if failure_class == "gpu_oom" else f"fewer --workers, then {change}"
    if failure_class == "diverged":
        return _halved(run, "learning_rate", "learning_rate") or "a lower learning_rate"
    if failure_class == "no_learning_signal":
        warmer = _raised(run, "temperature")
        return f"{warmer or 'a higher grpo.temperature'}, more SFT before GRPO, or another reward"
    return REMEDIES.get(failure_class, "none known")


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
