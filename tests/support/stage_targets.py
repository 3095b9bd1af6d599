"""Stage functions for tests of execution and coordination: real, cheap, and run in real child processes."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from typing import Any

from setpoint.artifacts import StageContext
from setpoint.errors import InputError, StageError


def write_value(context: StageContext) -> dict[str, Any]:
    """Publish one file that depends on the inputs."""
    inputs = {role: (folder / "value.txt").read_text() for role, folder in sorted(context.needs.items())}
    (context.output / "value.txt").write_text(f"{sorted(context.config)} {inputs} {context.seed}")
    context.log({"step": 1, "stage": "sft", "loss": 0.5})
    return {"inputs": len(inputs)}


def print_everywhere(_context: StageContext) -> dict[str, Any]:
    print("from python")
    print("to stderr", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo from a subprocess; echo its stderr >&2"], check=True)
    return {"threads": os.environ["OMP_NUM_THREADS"]}


def crash(_context: StageContext) -> dict[str, Any]:
    raise ZeroDivisionError("no reason")


def run_out_of_memory(_context: StageContext) -> dict[str, Any]:
    raise RuntimeError("batch too large") from MemoryError()


def fill_the_disk(_context: StageContext) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, "No space left on device")


def diverge(context: StageContext) -> dict[str, Any]:
    raise StageError("diverged", "the loss is nan", evidence={"step": 7}, suggestion="lower learning_rate")


def refuse(_context: StageContext) -> dict[str, Any]:
    raise InputError("rank must be positive, but is 0")


def exit_quietly(_context: StageContext) -> dict[str, Any]:
    sys.exit(0)


def kill_itself(_context: StageContext) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def sleep_with_a_child(context: StageContext) -> dict[str, Any]:
    """Start a process of its own, write both pids, and sleep for a minute."""
    child = subprocess.Popen(["sleep", "60"])
    (context.attempt / "pids.txt").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)
    return {}


def leave_a_child_behind(context: StageContext) -> dict[str, Any]:
    child = subprocess.Popen(["sleep", "60"])
    return {"pid": child.pid}


def write_and_count(context: StageContext) -> dict[str, Any]:
    """Like `write_value`, with a ledger of executions in the workspace; fails where the file `fail-<kind>` says so."""
    with (context.workspace.root / "ledger.txt").open("a") as ledger:
        ledger.write(f"{context.stage_id}\n")
    switch = context.workspace.root / f"fail-{context.kind}"
    if switch.exists() and switch.read_text() in json.dumps(context.config):
        raise StageError("diverged", "the loss is nan", evidence={}, suggestion="lower learning_rate")
    time.sleep(0.03)
    return write_value(context)


def write_device(context: StageContext) -> dict[str, Any]:
    """Publish which GPU the worker sees."""
    (context.output / "device.txt").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    time.sleep(0.3)
    return {}


def log_steps(context: StageContext) -> dict[str, Any]:
    for step in range(1, context.config["sft"]["steps"] + 1):
        context.log({"step": step, "stage": context.kind, "loss": 1.0 / step})
    raise RuntimeError("after the last step")


def write_and_score(context: StageContext) -> dict[str, Any]:
    """Publish the loss of a bowl over rank and learning rate: lowest at rank 8 and a learning rate of 1e-3."""
    lora, sft = context.config.get("lora"), context.config.get("sft")
    with (context.workspace.root / "ledger.txt").open("a") as ledger:
        ledger.write(f"{context.stage_id}\n")
    if lora is not None and sft is not None:
        error = 0.01 * (1.0 + abs(lora["rank"] - 8) + abs(math.log10(sft["learning_rate"]) + 3.0) + 0.01 * context.seed)
        (context.output / "value.txt").write_text(str(error))
        return {}
    adapter = context.needs.get("adapter")
    error = 1.0 if adapter is None else float((adapter / "value.txt").read_text())
    (context.output / "value.txt").write_text(str(error))
    controllers = {"llm": {"final_error": error, "success_rate": 0.5}}
    return {str(context.config.get("system")): {"open_loop": controllers, "replan_5": controllers}}
