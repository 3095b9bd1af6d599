"""Fault injection: stages that run out of memory, hang, crash or write invalid results.

Active only in workers with these environment variables:

    SETPOINT_STAGE_WRAPPER=setpoint.testing.faults:inject
    SETPOINT_FAULTS="sft=gpu_oom_backward*2,grpo=stall"       kind=fault; *n: only in the first n attempts
    SETPOINT_LEDGER=/tmp/ledger.txt                           one line per start and end of a stage

The ledger also has a line `overlap` if a stage starts while another process runs it. Overlaps are detected with kernel
locks, which are released when a process dies, so no clocks are compared.

A kind may be `*`. Faults in training patch torch functions in the worker, which exits after its stage.
"""

import contextlib
import errno
import fcntl
import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from setpoint.artifacts import Attempt, StageContext, StageFolder
from setpoint.errors import InputError, StageError, unknown_name

FAULTS_VARIABLE = "SETPOINT_FAULTS"
LEDGER_VARIABLE = "SETPOINT_LEDGER"
WRAPPER = "setpoint.testing.faults:inject"

StageFunction = Callable[[StageContext], dict[str, Any]]


class OutOfMemoryError(RuntimeError):
    """Stand-in for torch.OutOfMemoryError, which is recognised by its name."""


class AcceleratorError(RuntimeError):
    """Stand-in for torch.AcceleratorError, such as an uncorrectable GPU memory error."""


def inject(function: StageFunction) -> StageFunction:
    """Wrap `function` with the fault given in the environment and a ledger of its executions."""

    @wraps(function)
    def run(context: StageContext) -> dict[str, Any]:
        with _detect_overlap(context):
            _write_ledger("start", context)
            fault = planned_fault(os.environ.get(FAULTS_VARIABLE, ""), context.kind, Attempt(context.attempt).number)
            if fault is not None:
                FAULTS[fault](context)
            summary = function(context)
            _write_ledger("end", context)
        return summary

    return run


def planned_fault(text: str, kind: str, attempt: int) -> str | None:
    """Return the fault that `text` specifies for this attempt at a stage of this kind.

    Raises:
        InputError: there is no such fault.
    """
    for entry in filter(None, text.split(",")):
        wanted, _, rest = entry.partition("=")
        name, _, times = rest.partition("*")
        if name not in FAULTS:
            raise unknown_name("fault", name, FAULTS)
        if wanted in {kind, "*"} and attempt <= int(times or 10**9):
            return name
    return None


@contextlib.contextmanager
def _detect_overlap(context: StageContext) -> Iterator[None]:
    """Hold the stage's lock; write `overlap` to the ledger if another process holds it."""
    ledger = os.environ.get(LEDGER_VARIABLE)
    if not ledger:
        yield
        return
    locks = Path(f"{ledger}.locks")
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / context.stage_id).open("wb") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _write_ledger("overlap", context)
        yield


def _write_ledger(event: str, context: StageContext) -> None:
    """Append a line in a single write: many workers share the file."""
    path = os.environ.get(LEDGER_VARIABLE)
    if path:
        line = f"{event} {context.kind} {context.stage_id} {os.getpid()} {time.time():.6f}\n"
        with Path(path).open("ab", buffering=0) as ledger:
            ledger.write(line.encode())


def _raises(make: Callable[[], BaseException]) -> Callable[[StageContext], None]:
    def fault(_context: StageContext) -> None:
        raise make()

    return fault


def _kills(number: int) -> Callable[[StageContext], None]:
    def fault(_context: StageContext) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    return fault


def _sleep(_context: StageContext) -> None:
    """Hang without using the CPU."""
    time.sleep(86_400)


def _spin(context: StageContext) -> None:
    """Hang during training, in a busy loop."""
    context.log({"step": 1})
    while True:
        pass


def _grow(_context: StageContext) -> None:
    """Allocate memory without limit."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1024) * 10_000))
        time.sleep(0.02)


def _fail_calls(module: str, owner: str, method: str, calls: int = 1) -> Callable[[StageContext], None]:
    """Raise an out-of-memory error in the first calls of a torch or transformers method."""

    def fault(_context: StageContext) -> None:
        place = getattr(importlib.import_module(module), owner)
        original = getattr(place, method)
        out_of_memory: type[Exception] = importlib.import_module("torch").OutOfMemoryError
        left = [calls]

        def failing(*arguments: Any, **keywords: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise out_of_memory("injected: out of memory")
            return original(*arguments, **keywords)

        setattr(place, method, failing)

    return fault


def _nan(_context: StageContext) -> None:
    """Make every gradient NaN."""
    tensor = importlib.import_module("torch").Tensor
    original = tensor.backward

    def backward(loss: Any, *arguments: Any, **keywords: Any) -> Any:
        return original(loss * float("nan"), *arguments, **keywords)

    tensor.backward = backward


def _equal_rewards(_context: StageContext) -> None:
    """Give every completion the same reward."""
    module: Any = importlib.import_module("setpoint.training.grpo")
    original = module._reward_function

    def reward_function(rule: Any) -> Any:
        score = original(rule)

        @wraps(score)
        def constant(*arguments: Any, **keywords: Any) -> list[float]:
            return [0.0 for _ in score(*arguments, **keywords)]

        return constant

    module._reward_function = reward_function


def _corrupt(_context: StageContext) -> None:
    """Damage a file right after publication."""
    original = StageFolder.publish

    def publish(self: StageFolder, attempt: Attempt, **keywords: Any) -> None:
        original(self, attempt, **keywords)
        manifest = self.read_manifest()
        for name in manifest.files if manifest else ():
            path = self.path / name
            content = bytearray(path.read_bytes())
            if content:
                content[len(content) // 2] ^= 0xFF
                path.write_bytes(bytes(content))
                return

    StageFolder.publish = publish  # type: ignore[method-assign]


def _full_disk() -> OSError:
    return OSError(errno.ENOSPC, "injected: no space left on device")


FAULTS: dict[str, Callable[[StageContext], None]] = {
    "crash": _raises(lambda: ZeroDivisionError("injected")),
    "host_oom": _raises(lambda: MemoryError("injected")),
    "gpu_oom": _raises(lambda: OutOfMemoryError("injected")),
    "gpu_oom_backward": _fail_calls("torch", "Tensor", "backward"),
    "gpu_oom_generate": _fail_calls("transformers", "GenerationMixin", "generate"),
    "nan": _nan,
    "equal_rewards": _equal_rewards,
    "stall": _sleep,
    "spin": _spin,
    "grow": _grow,
    "sigkill": _kills(signal.SIGKILL),
    "sigterm": _kills(signal.SIGTERM),
    "sigsegv": _kills(signal.SIGSEGV),
    "disk_full": _raises(_full_disk),
    "connection": _raises(lambda: ConnectionResetError("injected")),
    "io_error": _raises(lambda: OSError(errno.EIO, "injected: input/output error")),
    "device": _raises(lambda: AcceleratorError("injected")),
    "data": _raises(lambda: StageError("data", "injected", evidence={}, suggestion="")),
    "config": _raises(lambda: InputError("injected")),
    "corrupt": _corrupt,
}
"""Fault -> action in the worker before the stage's code runs."""

CLASS_OF_FAULT = {
    "crash": "crash",
    "host_oom": "host_oom",
    "gpu_oom": "gpu_oom",
    "nan": "diverged",
    "equal_rewards": "no_learning_signal",
    "stall": "stalled",
    "spin": "stalled",
    "grow": "host_oom",
    "sigkill": "lost",
    "sigterm": "preempted",
    "sigsegv": "crash",
    "disk_full": "storage",
    "connection": "transient",
    "io_error": "transient",
    "device": "node_failure",
    "data": "data",
    "config": "config",
    "corrupt": "corrupt_artifact",
}
"""Expected failure class of each fault. The out-of-memory faults during training are missing: training recovers."""
