"""Cluster profiles, read from YAML files such as those in `configs/slurm/`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from setpoint.errors import InputError, collect, unknown_name
from setpoint.execution.slurm.resources import Resources
from setpoint.validation import dotted, sentence
from setpoint.yaml_files import read_table

_FIELD_FOR_OPTION = {
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "the field of that name"),
    **dict.fromkeys(("time", "mem", "mem-per-cpu", "cpus-per-task", "gres", "gpus"), "the field 'resources'"),
    **dict.fromkeys(("requeue", "no-requeue"), "the field 'requeue'"),
    "signal": "the field 'signal_s'",
    "array": "the field 'at_once' to throttle arrays",
    "export": "the field 'environment'",
}
_RESERVED = frozenset(
    {"job-name", "output", "error", "open-mode", "dependency", "kill-on-invalid-dep", "wrap", "wait", "parsable"}
)
"""Options that the generated scripts need for tracking jobs."""


class Profile(BaseModel):
    """Settings of one cluster; the defaults work on a small one."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    """Constraint on the nodes of `partition`."""
    cpu_partition: str | None = None
    """Partition of stages without a GPU and of the final job that collects the results."""
    resources: str = ""
    """Request of a stage that uses the model, in the format of --resource-limits, which overrides it per resource."""
    venv: str | None = None
    """Folder of a virtual environment to activate."""
    conda: str | None = None
    """Name or folder of a conda environment to activate."""
    setup: str = ""
    """Shell lines to run first, such as `module load cuda`."""
    at_once: int | None = Field(default=None, ge=1)
    """Maximum number of tasks of an array that run at the same time."""
    submit_limit: int | None = Field(default=None, ge=1)
    """Maximum number of tasks in the queue, if the cluster allows fewer than it reports."""
    poll_s: int = Field(default=30, ge=1)
    """Seconds between two queries of SLURM, for all jobs at once; up to four times that while nothing changes."""
    signal_s: int = Field(default=180, ge=1)
    """Seconds before the time limit at which SLURM sends USR1; it may arrive up to a minute earlier (sbatch(1))."""
    most_requeues: int = Field(default=20, ge=0)
    requeue: bool = True
    options: dict[str, str] = {}
    """Additional `sbatch` options by long name; use true for an option without a value."""
    environment: dict[str, str] = {}
    """Additional environment variables of the workers."""

    @field_validator("resources")
    @classmethod
    def _check_resources(cls, text: str) -> str:
        Resources.parse(text)
        return text

    @field_validator("options", mode="before")
    @classmethod
    def _read_flags(cls, options: Any) -> Any:
        if not isinstance(options, dict):
            return options
        return {name: "" if value is True or value is None else value for name, value in options.items()}

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, str]) -> dict[str, str]:
        for name in options:
            if re.fullmatch(r"[a-z][a-z0-9-]*", name) is None:
                raise ValueError(f"{name!r} is not the long name of an option without dashes, such as 'mail-type'")
            if name in _FIELD_FOR_OPTION:
                raise ValueError(f"{name!r} cannot be set here; use {_FIELD_FOR_OPTION[name]}")
            if name in _RESERVED:
                raise ValueError(f"{name!r} cannot be set here; the scripts set it")
        return options

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
                raise ValueError(f"{name!r} is not a valid variable name")
        return environment

    def allocation(self, *, gpu: bool) -> dict[str, str]:
        """Return the `sbatch` options for partition, account, QOS and constraint, plus `options`."""
        on_cpu_partition = not gpu and self.cpu_partition is not None
        found = {
            "partition": self.cpu_partition if on_cpu_partition else self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": None if on_cpu_partition else self.constraint,
        }
        return {name: value for name, value in found.items() if value} | self.options


def read_profile(path: Path) -> Profile:
    """Read a profile from a YAML file.

    Raises:
        InputError: the profile is invalid; lists all errors.
    """
    fields = read_table(path, "partition: gpu")
    known = Profile.model_fields
    collect([unknown_name("profile field", name, known) for name in fields if name not in known])
    try:
        return Profile.model_validate(fields)
    except ValidationError as error:
        collect([_finding(path, dict(each)) for each in error.errors()])
        raise


def _finding(path: Path, finding: Mapping[str, Any]) -> InputError:
    """Return one validation error of the profile at `path`."""
    place = finding["loc"]
    bounds = Profile.model_fields[str(place[0])].metadata
    return InputError(f"{str(path)!r}: {sentence(dotted(place), finding, bounds)}")
