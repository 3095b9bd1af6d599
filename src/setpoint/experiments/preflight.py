"""Is this machine fit for the work? Asked by `doctor`, and before every launch."""

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

# Rough needs: weights and gradients of a LoRA run in single precision on the host, in half precision on a GPU.
_HOST_GB = (1.5, 4.0)
_GPU_GB = (2.0, 2.0)
_DISK_GB = (0.2, 0.02)

_REMEDIES = {
    "GPU": "End what else uses it, or give --base-model a smaller one.",
    "memory": "End other programs, or give --base-model a smaller one.",
    "disk": "Free some space, or name a folder on another disk with --workspace or SETPOINT_WORKSPACE.",
}

_HUB_TIMEOUT_S = 10.0

_CGROUP_MEMORY = (  # limit and use, version 2 and version 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `ok`, a `remark` that stops nothing, or a `problem` that does."""

    name: str
    result: Literal["ok", "remark", "problem"]
    text: str


def check_machine(
    workspace: Workspace, base: BaseModel | None = None, *, adapters: int = 1, trains_here: bool = True
) -> list[Check]:
    """Interpreter, packages, GPU, memory and disk, against what training `base` needs. Nothing is written.

    Args:
        trains_here: a login node needs no GPU and no memory for what its cluster trains.
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
    """Refuse to start.

    Raises:
        InputError: every problem among `checks`.
    """
    collect([InputError(f"{check.name}: {check.text}") for check in checks if check.result == "problem"])


def _check_interpreter() -> Check:
    name = provenance.environment_name()
    text = f"Python {platform.python_version()} in environment {name!r}"
    if name == EXPECTED_ENVIRONMENT:
        return Check("interpreter", "ok", text)
    return Check("interpreter", "remark", f"{text}, which is not {EXPECTED_ENVIRONMENT!r}; any environment will do")


_NEEDED = frozenset({"", "train"})
"""Groups of requirements without which no experiment runs; the others serve reports and comparisons."""


def _check_packages() -> list[Check]:
    """Every requirement of this distribution against what is installed; extras may be missing, training may not."""
    checks = []
    for requirement in importlib.metadata.requires("setpoint") or []:
        match = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", requirement)
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        group = extra[1] if extra else ""
        if match is None or group == "dev":
            continue
        name, bound = match.groups()
        installed = provenance.package_versions([name])[name]
        if installed is None:
            remedy = f"pip install 'setpoint[{group}]'" if group else "pip install setpoint"
            checks.append(Check(name, "problem" if group in _NEEDED else "remark", f"not installed; {remedy}"))
        elif _release(installed) < _release(bound):
            checks.append(Check(name, "problem", f"needs {bound} or newer, has {installed}; pip install -U {name}"))
        else:
            checks.append(Check(name, "ok", f"{installed} (>= {bound})"))
    return checks


def _check_gpus(base_gb: float | None) -> list[Check]:
    found = _gpus()
    if found is None:
        return [Check("GPU", "ok", "none; training runs on the processor")]
    return [
        Check("GPU", "ok", label) if free_gb is None else _fits("GPU", label, _GPU_GB, base_gb, free_gb)
        for label, free_gb in found
    ]


def _gpus() -> list[tuple[str, float | None]] | None:
    """Label and free gigabytes of every GPU; None where there is no driver."""
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
    return _fits("memory", "host memory", _HOST_GB, base_gb, _free_memory_bytes() / _GB)


def _check_disk(workspace: Workspace, base_gb: float | None, adapters: int) -> Check:
    fixed_gb, per_base_gb = _DISK_GB
    existing = next(path for path in (workspace.root.absolute(), *workspace.root.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / _GB
    return _fits("disk", f"disk of {existing}", (fixed_gb, per_base_gb * adapters), base_gb, free_gb)


def _fits(name: str, label: str, needs_gb: tuple[float, float], base_gb: float | None, free_gb: float) -> Check:
    """Compare a fixed need plus a share of the base model's size with what is free."""
    if base_gb is None:
        return Check(name, "ok", f"{label}: has {free_gb:.1f} GB")
    need_gb = needs_gb[0] + needs_gb[1] * base_gb
    text = f"{label}: needs {need_gb:.1f} GB, has {free_gb:.1f} GB"
    return Check(name, "ok", text) if need_gb <= free_gb else Check(name, "problem", f"{text}. {_REMEDIES[name]}")


def host_need_gb(base: BaseModel) -> float:
    """Roughly what one worker needs of the host; without the base's size, what it needs besides."""
    return _HOST_GB[0] + _HOST_GB[1] * (_base_gb(base) or 0.0)


def free_gpu_gb() -> float | None:
    """Free memory of the GPU that has least; None where there is none, or none that tells."""
    known = [free_gb for _, free_gb in _gpus() or [] if free_gb is not None]
    return min(known, default=None)


def free_memory_gb() -> float:
    """Host memory that is free for workers, within the limit of the container."""
    return _free_memory_bytes() / _GB


def _free_memory_bytes() -> int:
    free = [int(psutil.virtual_memory().available)]
    for limit, used in _CGROUP_MEMORY:
        try:
            free.append(int(limit.read_text()) - int(used.read_text()))
        except (OSError, ValueError):  # no such controller, or the limit is "max"
            continue
    return max(0, min(free))


def _check_hub(base: BaseModel | None) -> list[Check]:
    """A base that is no folder must be in the cache, or on the hub for this machine to fetch."""
    if base is None or not base.on_hub:
        return []
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(base.location, "config.json"), str):
        return [Check("base model", "ok", f"{base.name!r} is in the cache of the hub")]
    try:
        HfApi().model_info(base.location, timeout=_HUB_TIMEOUT_S)
    except Exception as error:  # the client lets through what its transport raises, which differs by version
        reason = f"the hub has no answer ({type(error).__name__})"
        text = (
            f"{base.name!r} is neither a folder nor in the cache of the hub, and {reason}. Give --base-model a folder"
        )
        return [Check("base model", "problem", f"{text}, or fetch it first where there is a network.")]
    return [Check("base model", "ok", f"{base.name!r} is on the hub and will be fetched")]


def _base_gb(base: BaseModel) -> float | None:
    """The size of the weights, None for a base that is not on this disk."""
    weights = [*Path(base.location).glob("*.safetensors"), *Path(base.location).glob("*.bin")]
    return sum(file.stat().st_size for file in weights) / _GB if weights else None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
