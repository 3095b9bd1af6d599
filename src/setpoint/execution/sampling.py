"""Sample memory and GPU load of a worker over time, for `resources.json`."""

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

_FIRST_INTERVAL_S = 0.5
_MAX_SAMPLES = 240
KEEP_EVERY_S = 10.0
"""Interval at which measured costs are saved, or the sampling interval if longer; a kill loses at most this much."""

Sample = dict[str, float]


class Sampler:
    """Samples in a background thread; whenever the series is full, every other sample is dropped."""

    def __init__(
        self,
        gpu: "GpuCounters | None" = None,
        interval_s: float = _FIRST_INTERVAL_S,
        keep: Callable[[], None] | None = None,
        keep_every_s: float = KEEP_EVERY_S,
    ) -> None:
        """Start sampling this process and its descendants.

        Args:
            keep: called after a sample, at most every `keep_every_s` seconds, to save the costs so far.
        """
        self._keep = keep
        self._keep_every_s = keep_every_s
        self._gpu = gpu or GpuCounters()
        self._interval_s = interval_s
        self._samples: list[Sample] = []
        self._started_s = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resource-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Stop sampling and return the series with its maxima."""
        self._end.set()
        self._thread.join()
        peaks = {
            f"sampled_peak_{name}": max(found)
            for name in ("rss_gb", "gpu_gb", "gpu_percent")
            if (found := [sample[name] for sample in self._samples if name in sample])
        }
        return {**peaks, "sample_interval_s": self._interval_s, "samples": self._samples}

    def _run(self) -> None:
        process = psutil.Process()
        next_keep_s = self._keep_every_s
        while True:
            at_s = round(time.monotonic() - self._started_s, 2)
            self._samples.append({"at_s": at_s, **_rss(process), **self._gpu.read()})
            if self._keep is not None and at_s >= next_keep_s:
                next_keep_s = at_s + self._keep_every_s
                with contextlib.suppress(OSError):  # a temporarily full disk must not stop sampling
                    self._keep()
            if len(self._samples) >= _MAX_SAMPLES:
                self._samples = self._samples[::2]
                self._interval_s *= 2
            if self._end.wait(self._interval_s):
                return


class GpuCounters:
    """Memory and utilisation of the visible GPUs from NVML, if its bindings (`pynvml`) are installed."""

    def __init__(self, load: Callable[[str], Any] = importlib.import_module) -> None:
        """Initialise NVML; without it or without a GPU, all readings are empty."""
        self._nvml: Any = None
        self._devices: list[Any] = []
        try:
            nvml = load("pynvml")
            nvml.nvmlInit()
            self._devices = _visible(nvml)
            self._nvml = nvml
        except Exception:  # bindings differ in their errors; monitoring must never fail a stage
            self._devices = []

    def read(self) -> Sample:
        """Return memory in use on the fullest GPU (GB) and the highest utilisation (%); empty without a GPU."""
        try:
            used = [self._nvml.nvmlDeviceGetMemoryInfo(device).used for device in self._devices]
            load = [self._nvml.nvmlDeviceGetUtilizationRates(device).gpu for device in self._devices]
        except Exception:
            return {}
        return {"gpu_gb": round(max(used) / 1e9, 3), "gpu_percent": float(max(load))} if used else {}

    def processes(self) -> set[int]:
        """Return the processes that hold memory on these GPUs, as reported by NVML."""
        try:
            found = [self._nvml.nvmlDeviceGetComputeRunningProcesses(device) for device in self._devices]
        except Exception:
            return set()
        return {process.pid for processes in found for process in processes}


def _visible(nvml: Any) -> list[Any]:
    """Return the GPUs in CUDA_VISIBLE_DEVICES, given by index or UUID; all GPUs if it is unset."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    listed = [name.strip() for name in names.split(",")]
    numbered = [nvml.nvmlDeviceGetHandleByIndex(int(name)) for name in listed if name.isdecimal()]
    return [*numbered, *(nvml.nvmlDeviceGetHandleByUUID(name) for name in listed if name.startswith("GPU-"))]


def _rss(process: psutil.Process) -> Sample:
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return {"rss_gb": round(total / 1e9, 4)}
