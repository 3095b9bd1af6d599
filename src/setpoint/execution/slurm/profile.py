"""What is particular to one cluster, from a YAML file such as those in `configs/slurm/`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from setpoint.errors import InputError, collect, unknown_name
from setpoint.execution.slurm.resources import Resources
from setpoint.validation import dotted, sentence
from setpoint.yaml_files import read_table

_INSTEAD = {
    **dict.fromkeys(("partition", "account", "qos", "constraint"), "the field of that name"),
    **dict.fromkeys(("time", "mem", "mem-per-cpu", "cpus-per-task", "gres", "gpus"), "the field 'resources'"),
    **dict.fromkeys(("requeue", "no-requeue"), "the field 'requeue'"),
    "signal": "the field 'signal_s'",
    "array": "the field 'at_once' to throttle arrays",
    "export": "the field 'environment'",
}
_OURS = frozenset(
    {"job-name", "output", "error", "open-mode", "dependency", "kill-on-invalid-dep", "wrap", "wait", "parsable"}
)
"""Options by which the scripts and the commands here know what became of a job."""


class Profile(BaseModel):
    """Everything has a default that works on a small cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    """On the nodes of `partition`."""
    cpu_partition: str | None = None
    """For stages that use no GPU, and for the job that collects."""
    resources: str = ""
    """Of a stage that uses the model, in the form of --resource-limits, which wins resource by resource."""
    venv: str | None = None
    """Folder of a virtual environment to activate."""
    conda: str | None = None
    """Name or folder of a conda environment to activate."""
    setup: str = ""
    """Shell lines that come first, such as `module load cuda`."""
    at_once: int | None = Field(default=None, ge=1)
    """Tasks of an array that run at the same time."""
    submit_limit: int | None = Field(default=None, ge=1)
    """Tasks in the queue at the same time, where the cluster allows fewer than it says."""
    signal_s: int = Field(default=180, ge=1)
    """The warning comes this long before the time limit; SLURM may be up to a minute early."""
    most_requeues: int = Field(default=20, ge=0)
    requeue: bool = True
    options: dict[str, str] = {}
    """Further `sbatch` options by their long names; one without a value is given as true."""
    environment: dict[str, str] = {}
    """Further variables for the workers."""

    @field_validator("resources")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        Resources.parse(text)
        return text

    @field_validator("options", mode="before")
    @classmethod
    def _flags(cls, options: Any) -> Any:
        if not isinstance(options, dict):
            return options
        return {name: "" if value is True or value is None else value for name, value in options.items()}

    @field_validator("options")
    @classmethod
    def _do_not_contradict(cls, options: dict[str, str]) -> dict[str, str]:
        for name in options:
            if re.fullmatch(r"[a-z][a-z0-9-]*", name) is None:
                raise ValueError(f"{name!r} is not the long name of an option, without its dashes, such as 'mail-type'")
            if name in _INSTEAD:
                raise ValueError(f"{name!r} cannot be set here; use {_INSTEAD[name]}")
            if name in _OURS:
                raise ValueError(f"{name!r} cannot be set here; the scripts set it")
        return options

    @field_validator("environment")
    @classmethod
    def _are_variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
                raise ValueError(f"{name!r} cannot be the name of a variable")
        return environment

    def allocation(self, *, gpu: bool) -> dict[str, str]:
        """`sbatch` options that say where and on whose account a job runs."""
        elsewhere = not gpu and self.cpu_partition is not None
        found = {
            "partition": self.cpu_partition if elsewhere else self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": None if elsewhere else self.constraint,
        }
        return {name: value for name, value in found.items() if value} | self.options


def read_profile(path: Path) -> Profile:
    """The profile in a YAML file.

    Raises:
        InputError: everything that is wrong with it.
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
    """One thing that is wrong in the profile at `path`."""
    place = finding["loc"]
    bounds = Profile.model_fields[str(place[0])].metadata
    return InputError(f"{str(path)!r}: {sentence(dotted(place), finding, bounds)}")
