"""Preflight checks of this machine, for `doctor` and before every launch."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from setpoint import provenance
from setpoint.artifacts import Workspace
from setpoint.errors import InputError, collect
from setpoint.policies import BaseModel

EXPECTED_ENVIRONMENT = "unsloth_env"
_GB = 1e9

# Rough requirements, as (fixed, per GB of base weights): LoRA training in float32 on the host, in float16 on a GPU.
_HOST_GB = (1.5, 4.0)
_GPU_GB = (2.0, 2.0)
_DISK_GB = (0.2, 0.02)

_REMEDIES = {
    "GPU": "Stop other processes on it, or set --base-model to a smaller model.",
    "memory": "Close other programs, or set --base-model to a smaller model.",
    "disk": "Free some space, or set --workspace or SETPOINT_WORKSPACE to a folder on another disk.",
}

_HUB_TIMEOUT_S = 10.0

_CGROUP_MEMORY = (  # limit and usage, for cgroup v2 and v1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check: `ok`, a `remark` that does not prevent a launch, or a `problem` that does."""

    name: str
    result: Literal["ok", "remark", "problem"]
    text: str


def check_machine(
    workspace: Workspace, base: BaseModel | None = None, *, adapters: int = 1, trains_here: bool = True
) -> list[Check]:
    """Check interpreter, packages, GPU, memory and disk against the needs of training `base`. Writes nothing.

    Args:
        adapters: number of adapters that the disk must hold.
        trains_here: False on a login node, which needs no GPU and little memory.
    """
    base_gb = None if base is None else _base_gb(base)
    here_gb = base_gb if trains_here else None
    return [
        _check_interpreter(),
        *_check_packages(),
        *_check_hub(base),
        *_check_gpus(here_gb),
        _check_memory(here_gb),
        _check_disk(workspace, base_gb, adapters),
    ]


def require_fit(checks: Iterable[Check]) -> None:
    """Raise an error if a check failed.

    Raises:
        InputError: every problem among `checks`.
    """
    collect([InputError(f"{check.name}: {check.text}") for check in checks if check.result == "problem"])


def _check_interpreter() -> Check:
    name = provenance.environment_name()
    text = f"Python {platform.python_version()} in environment {name!r}"
    if name == EXPECTED_ENVIRONMENT:
        return Check("interpreter", "ok", text)
    return Check("interpreter", "remark", f"{text}; the documented one is {EXPECTED_ENVIRONMENT!r}, but any works")


_NEEDED = frozenset({"", "train"})
"""Extras that every experiment requires; the others are for reports and comparisons."""


def _check_packages() -> list[Check]:
    """Check the installed version of every requirement; only packages of optional extras may be missing."""
    checks = []
    for requirement in importlib.metadata.requires("setpoint") or []:
        name, bound = re.match(r"[\w.-]+", requirement), re.search(r">=\s*([\d.]+)", requirement)
        below = re.search(r"<\s*([\d.]+)", requirement)
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        group = extra[1] if extra else ""
        if name is None or bound is None or group == "dev":
            continue
        checks.append(_check_package(name[0], bound[1], below[1] if below else None, group))
    return checks


def _check_package(name: str, bound: str, below: str | None, group: str) -> Check:
    installed = provenance.package_versions([name])[name]
    if installed is None:
        remedy = f"pip install 'setpoint[{group}]'" if group else "pip install setpoint"
        return Check(name, "problem" if group in _NEEDED else "remark", f"not installed; run {remedy}")
    if _release(installed) < _release(bound):
        return Check(name, "problem", f"needs {bound} or newer, has {installed}; run pip install -U {name}")
    if below is not None and _release(installed) >= _release(below):
        return Check(name, "remark", f"{installed} is newer than tested; run pip install '{name}<{below}' if it fails")
    return Check(name, "ok", f"{installed} (>= {bound})")


def _check_gpus(base_gb: float | None) -> list[Check]:
    found = _gpus()
    if found is None:
        return [Check("GPU", "ok", "none; training runs on the CPU")]
    return [
        Check("GPU", "ok", label) if free_gb is None else _fits("GPU", label, _GPU_GB, base_gb, free_gb)
        for label, free_gb in found
    ]


def _gpus() -> list[tuple[str, float | None]] | None:
    """Return label and free memory (GB) of every GPU; None without an NVIDIA driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    found: list[tuple[str, float | None]] = []
    for line in filter(None, done.stdout.splitlines()):
        name, driver, free_mib = (part.strip() for part in line.rsplit(",", 2))
        free_gb = float(free_mib) * 2**20 / _GB if free_mib.replace(".", "").isdigit() else None
        found.append((f"{name}, driver {driver}", free_gb))
    return found


def _check_memory(base_gb: float | None) -> Check:
    return _fits("memory", "", _HOST_GB, base_gb, _free_memory_bytes() / _GB)


def _check_disk(workspace: Workspace, base_gb: float | None, adapters: int) -> Check:
    fixed_gb, per_base_gb = _DISK_GB
    existing = next(path for path in (workspace.root.absolute(), *workspace.root.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / _GB
    return _fits("disk", str(existing), (fixed_gb, per_base_gb * adapters), base_gb, free_gb)


def _fits(name: str, label: str, needs_gb: tuple[float, float], base_gb: float | None, free_gb: float) -> Check:
    """Compare the requirement, a fixed part plus one proportional to the base model's size, with the free amount."""
    prefix = f"{label}: " if label else ""
    available = f"{prefix}{free_gb:.1f} GB available"
    if base_gb is None:
        return Check(name, "ok", available)
    need_gb = needs_gb[0] + needs_gb[1] * base_gb
    if need_gb <= free_gb:
        return Check(name, "ok", f"{available} ({need_gb:.1f} GB required)")
    return Check(name, "problem", f"{prefix}needs {need_gb:.1f} GB, has {free_gb:.1f} GB. {_REMEDIES[name]}")


def host_need_gb(base: BaseModel) -> float:
    """Return the rough host memory (GB) of one worker; without the base's weights if their size is unknown."""
    return _HOST_GB[0] + _HOST_GB[1] * (_base_gb(base) or 0.0)


def free_gpu_gb() -> float | None:
    """Return the free memory (GB) of the fullest GPU; None if there is no GPU or none reports it."""
    known = [free_gb for _, free_gb in _gpus() or [] if free_gb is not None]
    return min(known, default=None)


def free_memory_gb() -> float:
    """Return the host memory (GB) available to workers, within the container's limit."""
    return _free_memory_bytes() / _GB


def _free_memory_bytes() -> int:
    free = [int(psutil.virtual_memory().available)]
    for limit, used in _CGROUP_MEMORY:
        try:
            free.append(int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such controller, or no limit ("max")
            continue
    return max(0, min(free))


def _check_hub(base: BaseModel | None) -> list[Check]:
    """Check that a base model without a local folder is in the cache or can be downloaded from the Hugging Face Hub."""
    if base is None or not base.on_hub:
        return []
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(base.location, "config.json"), str):
        return [Check("base model", "ok", f"{base.name!r} is in the local Hugging Face cache")]
    try:
        HfApi().model_info(base.location, timeout=_HUB_TIMEOUT_S)
    except Exception as error:  # the client passes on its transport's exceptions, which differ between versions
        text = (
            f"{base.name!r} is neither a folder nor in the local Hugging Face cache, and looking it up on the Hub "
            f"failed ({type(error).__name__}). Set --base-model to a folder, or download the model on a machine with "
            "network access."
        )
        return [Check("base model", "problem", text)]
    return [Check("base model", "ok", f"{base.name!r} will be downloaded from the Hugging Face Hub")]


def _base_gb(base: BaseModel) -> float | None:
    """Return the size of the weights (GB); None if they are not on this disk."""
    weights = [*Path(base.location).glob("*.safetensors"), *Path(base.location).glob("*.bin")]
    return sum(file.stat().st_size for file in weights) / _GB if weights else None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
