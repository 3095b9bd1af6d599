"""What is particular to one cluster, from a YAML file such as those in `configs/slurm/`."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from setpoint.errors import InputError, collect, unknown_name


class Profile(BaseModel):
    """Everything has a default that works on a small cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
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
    """Further `sbatch` options by their long names."""
    environment: dict[str, str] = {}
    """Further variables for the workers."""

    def allocation(self, *, gpu: bool) -> dict[str, str]:
        """`sbatch` options that say where and on whose account a job runs."""
        partition = self.partition if gpu else self.cpu_partition or self.partition
        found = {"partition": partition, "account": self.account, "qos": self.qos, "constraint": self.constraint}
        return {name: value for name, value in found.items() if value} | self.options


def read_profile(path: Path) -> Profile:
    """The profile in a YAML file.

    Raises:
        InputError: everything that is wrong with it.
    """
    try:
        fields: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the cluster profile {str(path)!r} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} is not YAML: {' '.join(str(error).split())}") from error
    fields = {} if fields is None else fields
    if not isinstance(fields, dict):
        raise InputError(f"{str(path)!r} must be a table such as 'partition: gpu'.")
    collect(
        [
            unknown_name("profile field", str(name), Profile.model_fields)
            for name in fields.keys() - Profile.model_fields.keys()
        ]
    )
    try:
        return Profile.model_validate(fields)
    except ValidationError as error:
        collect(
            [
                InputError(f"{'.'.join(map(str, each['loc']))} in {str(path)!r}: {each['msg']}.")
                for each in error.errors()
            ]
        )
        raise
