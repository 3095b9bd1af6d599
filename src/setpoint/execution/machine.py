"""Resources of this machine: cores, GPUs, and the kernel's count of OOM kills."""

import os
import subprocess
from functools import cache
from pathlib import Path

from setpoint.processes import usable_cores

_OOM_RECORDS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


@cache
def gpus() -> tuple[str, ...]:
    """Return the visible GPUs, as in CUDA_VISIBLE_DEVICES. CUDA is not queried: it would leave a context open."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for name in visible.split(",") if name.strip() and name.strip() != "-1")
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(done.stdout.split())


def device_variables(device: str) -> dict[str, str]:
    """Return variables that restrict a worker to the GPU `device`, with the numbering that `device` refers to."""
    given = "CUDA_VISIBLE_DEVICES" in os.environ  # set by the user, so it uses CUDA's own numbering
    return {"CUDA_VISIBLE_DEVICES": device, **({} if given else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})}


def worker_variables(threads: int = 1) -> dict[str, str]:
    """Return the environment of every worker, local or on a cluster, so that results do not depend on the machine."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }


def default_workers() -> int:
    """Return the default number of parallel stages: one per GPU, or one per core without a GPU."""
    return len(gpus()) or usable_cores()


def oom_kills() -> int:
    """Return the number of OOM kills in this container; 0 if the kernel does not report it."""
    for record in _OOM_RECORDS:
        try:
            lines = record.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0
