"""Run stages as SLURM jobs: scripts, submission and job states."""

from setpoint.execution.slurm.client import Client, Refused, SubmitLimit, Unavailable
from setpoint.execution.slurm.executor import SlurmExecutor
from setpoint.execution.slurm.profile import Profile
from setpoint.execution.slurm.resources import Resources
from setpoint.execution.slurm.script import Batch, Link, write_batch
from setpoint.execution.slurm.tracking import JobState, Tracker, settle

__all__ = [
    "Batch",
    "Client",
    "JobState",
    "Link",
    "Profile",
    "Refused",
    "Resources",
    "SlurmExecutor",
    "SubmitLimit",
    "Tracker",
    "Unavailable",
    "settle",
    "write_batch",
]
