"""Cost of an attempt: wall-clock time, CPU time, peak memory, and GPU time and memory."""

import resource
import sys
import time
from typing import Any

from setpoint.artifacts import Measured

_KIB_PER_GB = 1e9 / 1024  # getrusage(2) reports ru_maxrss in KiB on Linux


class Meter:
    """Measures the cost of an attempt since construction.

    GPU values are None unless this process has initialised CUDA through an already imported torch.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self._started_s = time.monotonic()
        self._cpu_s = _cpu_s()

    def read(self) -> Measured:
        """Return the cost so far; GPU memory is that of the fullest device."""
        wall_s = time.monotonic() - self._started_s
        peak_kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cuda = _cuda_in_use()
        devices = range(cuda.device_count()) if cuda else range(0)
        peak_gpu_gb = max(cuda.max_memory_reserved(device) for device in devices) / 1e9 if cuda else None
        return Measured(
            wall_s=round(wall_s, 3),
            cpu_s=round(_cpu_s() - self._cpu_s, 3),
            peak_rss_gb=round(peak_kib / _KIB_PER_GB, 3),
            gpu_hours=round(len(devices) * wall_s / 3600, 6) if cuda else None,
            peak_gpu_gb=None if peak_gpu_gb is None else round(peak_gpu_gb, 3),
        )


def _cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _cuda_in_use() -> Any:
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
