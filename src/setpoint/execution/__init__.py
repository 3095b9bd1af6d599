"""Run stages: one child process per attempt, which never outlives the coordinator."""

from setpoint.execution.limits import Limits
from setpoint.execution.local import LocalExecutor
from setpoint.execution.machine import default_workers, gpus
from setpoint.execution.task import Executor, Job, Outcome, Task, planned_task

__all__ = [
    "Executor",
    "Job",
    "Limits",
    "LocalExecutor",
    "Outcome",
    "Task",
    "default_workers",
    "gpus",
    "planned_task",
]
