"""Body of one attempt in a worker process: claim the stage, run its code, publish the result or record the failure."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import psutil

from setpoint import provenance
from setpoint.artifacts import Attempt, StageContext, StageFolder, Workspace, write_json
from setpoint.execution.failures import describe_failure
from setpoint.execution.resources import Meter
from setpoint.execution.sampling import Sampler
from setpoint.execution.task import Task

WRAPPER_VARIABLE = "SETPOINT_STAGE_WRAPPER"
"""Environment variable that names a decorator for every stage function; used to inject faults in tests."""

StageFunction = Callable[[StageContext], dict[str, Any]]


def work(task: Task) -> None:
    """Make one attempt at `task`, unless another process holds the stage. Results are written to disk only."""
    stage = task.stage
    attempt = stage.claim_attempt(task.stage_config())
    if attempt is None:
        return
    _redirect_output(attempt)
    meter = Meter()
    sampler = Sampler(keep=lambda: write_json(attempt.resources_so_far, {"schema": 1, **meter.read().to_json()}))
    _log_line(f"{_title(task)}: attempt {attempt.number} started, pid {os.getpid()}")
    try:
        _run_and_publish(task, stage, attempt, meter)
        _log_line(f"{_title(task)}: finished")
    except (Exception, SystemExit) as error:
        failure = describe_failure(error)
        _log_line(f"{_title(task)}: failed ({failure.failure_class}): {failure.message}")
        print(failure.traceback, file=sys.stderr)
        write_json(attempt.failure, failure.to_json())
    finally:
        _kill_descendants()
        write_json(attempt.resources, {"schema": 1, **meter.read().to_json(), **sampler.stop()})
        attempt.resources_so_far.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()


def _run_and_publish(task: Task, stage: StageFolder, attempt: Attempt, meter: Meter) -> None:
    attempt.output.mkdir()
    context = StageContext(
        workspace=Workspace(task.workspace),
        kind=task.kind,
        stage_id=task.stage_id,
        config=task.config,
        seed=task.seed,
        needs=task.needs,
        output=attempt.output,
        checkpoints=stage.take_checkpoints(attempt),
        attempt=attempt.path,
    )
    summary = _stage_function(task.target)(context)
    stage.publish(attempt, summary=summary, measured=meter.read(), provenance=provenance.collect())


def _title(task: Task) -> str:
    """Return a title such as `sft 89204b245f34, seed 1, 100 steps`."""
    parameters = task.config.get(task.kind)
    steps = parameters.get("steps") if isinstance(parameters, dict) else None
    return f"{task.kind} {task.stage_id}, seed {task.seed}{'' if steps is None else f', {steps} steps'}"


def _log_line(text: str) -> None:
    """Print a line with a UTC timestamp to the log of the attempt."""
    print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}", flush=True)


def _stage_function(target: str) -> StageFunction:
    function = cast(StageFunction, _import_function(target))
    wrapper = os.environ.get(WRAPPER_VARIABLE)
    return cast(StageFunction, _import_function(wrapper)(function)) if wrapper else function


def _import_function(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), function))


def _kill_descendants() -> None:
    """Kill processes that the stage code left running, so that none leaks into the next run."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _redirect_output(attempt: Attempt) -> None:
    """Redirect descriptors 1 and 2 to the attempt's logs, to capture output of C libraries and subprocesses."""
    for descriptor, path in ((1, attempt.stdout), (2, attempt.stderr)):
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        os.dup2(log, descriptor)
        os.close(log)
