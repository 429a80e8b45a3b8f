"""Watts: NVML's for the GPU, RAPL's for the CPU, each where it can be read; nothing is estimated."""

import ctypes
import functools
import glob
import time
from pathlib import Path

from measure import spread

RAPL = "/sys/class/powercap/intel-rapl:*/energy_uj"


@functools.cache
def _nvml():
    """NVML and the first card's handle; (null, null) without."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None, None
    handle = ctypes.c_void_p()
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) != 0:
        return None, None
    return nvml, handle


def gpu_watts():
    nvml, handle = _nvml()
    if nvml is None:
        return None
    milliwatts = ctypes.c_uint()
    if nvml.nvmlDeviceGetPowerUsage(handle, ctypes.byref(milliwatts)) != 0:
        return None
    return milliwatts.value / 1e3


def gpu_cores():
    """CUDA cores, the paper's GPU cores; null if unknown."""
    nvml, handle = _nvml()
    if nvml is None:
        return None
    ask, n = getattr(nvml, "nvmlDeviceGetNumGpuCores", None), ctypes.c_uint()  # drivers from 510 on
    return n.value if ask and ask(handle, ctypes.byref(n)) == 0 else None


def cpu_joules():
    """Of all packages since some moment; null where RAPL is not there or not ours to read."""
    try:
        values = [int(Path(path).read_text()) for path in glob.glob(RAPL)
                  if path.count(":") == 1]
    except OSError:
        return None
    return sum(values) / 1e6 if values else None


def can_be_read():
    return gpu_watts() is not None or cpu_joules() is not None


def sources():
    """What is measured, and why what is not isn't."""
    said = {}
    said["gpu"] = ("NVML: nvmlDeviceGetPowerUsage, the whole card" if gpu_watts() is not None
                   else "not measured: NVML does not answer, or there is no NVIDIA card")
    said["cpu"] = ("RAPL, all packages" if cpu_joules() is not None
                   else f"not measured: {RAPL} can't be read here")
    return said


class Meter:
    """Samples of power."""

    PERIOD_S = 0.1

    def __init__(self):
        self._samples = {"gpu": [], "cpu": []}
        self._joules = None
        self._at = None

    def sample(self):
        if (watts := gpu_watts()) is not None:
            self._samples["gpu"].append(watts)
        joules, now = cpu_joules(), time.monotonic()
        if joules is not None and self._joules is not None and joules >= self._joules:
            self._samples["cpu"].append((joules - self._joules) / (now - self._at))
        self._joules, self._at = joules, now

    def measure(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sample()
            time.sleep(self.PERIOD_S)

    def spreads(self):
        return {key: spread(values) for key, values in self._samples.items() if values}
