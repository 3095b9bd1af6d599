"""What this machine offers to workers: cores, GPUs, and the kernel's own record of processes it ended for memory."""

import os
import subprocess
from functools import cache
from pathlib import Path

from setpoint.processes import usable_cores

_OOM_RECORDS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


@cache
def gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. CUDA is not asked: it would stay open."""
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
    """What shows a worker the one GPU called `device`, in the numbering that the name was found in."""
    given = "CUDA_VISIBLE_DEVICES" in os.environ  # then whoever set it had CUDA's numbering in mind
    return {"CUDA_VISIBLE_DEVICES": device, **({} if given else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})}


def worker_variables(threads: int = 1) -> dict[str, str]:
    """The environment of every worker, local or on a cluster: results must not depend on where it runs."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }


def default_workers() -> int:
    """Stages to run at the same time: one for each GPU, and on a machine without one for each core."""
    return len(gpus()) or usable_cores()


def oom_kills() -> int:
    """Processes of this container that the kernel has ended for want of memory; 0 where it does not tell."""
    for record in _OOM_RECORDS:
        try:
            lines = record.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0
