"""Where a stage runs: one child process for each attempt, which never outlives the coordinator."""

from setpoint.execution.local import LocalExecutor
from setpoint.execution.task import Executor, Job, Outcome, Task

__all__ = ["Executor", "Job", "LocalExecutor", "Outcome", "Task"]
