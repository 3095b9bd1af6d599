"""The body of one attempt, in a process of its own: claim the stage, call its code, publish or say why not."""

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
"""Names a function that is given every stage's function and returns the one to call; for tests that inject faults."""

StageFunction = Callable[[StageContext], dict[str, Any]]


def work(task: Task) -> None:
    """Make one attempt at `task`. The result is on disk only: a manifest, failure.json, or no attempt if not free."""
    stage = task.stage
    attempt = stage.claim_attempt(task.asked())
    if attempt is None:
        return
    _redirect_output(attempt)
    meter = Meter()
    sampler = Sampler(keep=lambda: write_json(attempt.resources_so_far, {"schema": 1, **meter.read().to_json()}))
    _say(f"{_title(task)}: attempt {attempt.number} began, process {os.getpid()}")
    try:
        _run_and_publish(task, stage, attempt, meter)
        _say(f"{_title(task)}: finished")
    except (Exception, SystemExit) as error:
        failure = describe_failure(error)
        _say(f"{_title(task)}: failed, {failure.failure_class}: {failure.message}")
        print(failure.traceback, file=sys.stderr)
        write_json(attempt.failure, failure.to_json())
    finally:
        _end_descendants()
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
    summary = _load(task.target)(context)
    stage.publish(attempt, summary=summary, measured=meter.read(), provenance=provenance.collect())


def _title(task: Task) -> str:
    """`sft 89204b245f34, seed 1, 100 steps`."""
    own = task.config.get(task.kind)
    steps = own.get("steps") if isinstance(own, dict) else None
    return f"{task.kind} {task.stage_id}, seed {task.seed}{'' if steps is None else f', {steps} steps'}"


def _say(text: str) -> None:
    """One line with the time, for the attempt's log."""
    print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}", flush=True)


def _load(target: str) -> StageFunction:
    function = cast(StageFunction, _named(target))
    wrapper = os.environ.get(WRAPPER_VARIABLE)
    return cast(StageFunction, _named(wrapper)(function)) if wrapper else function


def _named(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), function))


def _end_descendants() -> None:
    """Kill what the stage's code started and left behind, so that nothing leaks into the next run."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _redirect_output(attempt: Attempt) -> None:
    """Send descriptors 1 and 2 to the attempt's logs, for what C libraries and subprocesses print lands there too."""
    for descriptor, path in ((1, attempt.stdout), (2, attempt.stderr)):
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, descriptor)
        os.close(log)
