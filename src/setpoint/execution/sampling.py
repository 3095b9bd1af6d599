"""Memory and load of a worker over time, for `resources.json`: its own processes, and the GPUs it may use."""

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

_FIRST_INTERVAL_S = 0.5
_MOST_SAMPLES = 240
KEEP_EVERY_S = 10.0
"""Or as often as there is a sample: what a kill can take away of the cost that was measured."""

Sample = dict[str, float]


class Sampler:
    """Takes samples in a thread until it is stopped; the interval grows with the series, which so stays short."""

    def __init__(
        self,
        gpu: "GpuCounters | None" = None,
        interval_s: float = _FIRST_INTERVAL_S,
        keep: Callable[[], None] | None = None,
        keep_every_s: float = KEEP_EVERY_S,
    ) -> None:
        """Start sampling this process and everything below it.

        Args:
            keep: called after a sample, at most every `keep_every_s` seconds, to write down what was measured so far.
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
        """End the series, and return it with its maxima."""
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
                with contextlib.suppress(OSError):  # a disk that is full for a moment must not end the series
                    self._keep()
            if len(self._samples) >= _MOST_SAMPLES:
                self._samples = self._samples[::2]
                self._interval_s *= 2
            if self._end.wait(self._interval_s):
                return


class GpuCounters:
    """Memory and utilisation of the visible GPUs by NVML, where its bindings (`pynvml`) are installed."""

    def __init__(self, load: Callable[[str], Any] = importlib.import_module) -> None:
        """Open NVML; without it, or without a GPU, there is nothing to read."""
        self._nvml: Any = None
        self._devices: list[Any] = []
        try:
            nvml = load("pynvml")
            nvml.nvmlInit()
            self._devices = _visible(nvml)
            self._nvml = nvml
        except Exception:  # each binding has errors of its own, and counters must never end a stage
            self._devices = []

    def read(self) -> Sample:
        """Gigabytes in use on the fullest GPU and the highest utilisation; nothing without one."""
        try:
            used = [self._nvml.nvmlDeviceGetMemoryInfo(device).used for device in self._devices]
            load = [self._nvml.nvmlDeviceGetUtilizationRates(device).gpu for device in self._devices]
        except Exception:
            return {}
        return {"gpu_gb": round(max(used) / 1e9, 3), "gpu_percent": float(max(load))} if used else {}

    def processes(self) -> set[int]:
        """The processes that hold memory on these GPUs, as far as NVML tells."""
        try:
            found = [self._nvml.nvmlDeviceGetComputeRunningProcesses(device) for device in self._devices]
        except Exception:
            return set()
        return {process.pid for processes in found for process in processes}


def _visible(nvml: Any) -> list[Any]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, by number or UUID; all where it says nothing."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    words = [name.strip() for name in names.split(",")]
    numbered = [nvml.nvmlDeviceGetHandleByIndex(int(word)) for word in words if word.isdecimal()]
    return [*numbered, *(nvml.nvmlDeviceGetHandleByUUID(word) for word in words if word.startswith("GPU-"))]


def _rss(process: psutil.Process) -> Sample:
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return {"rss_gb": round(total / 1e9, 4)}
