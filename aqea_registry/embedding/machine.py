"""The machine that computes, as torch and the operating system tell of it."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from aqea_registry.core.machine import PACKAGES, Machine


def this_machine(device: str) -> Machine:
    """What computes here and now on this device. Imports torch."""
    import torch

    return Machine(
        processor=_processor(),
        architecture=platform.machine(),
        system=platform.system(),
        python=platform.python_version(),
        kernels=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        device=device if device == "cpu" else torch.cuda.get_device_name(device),
        packages={name: metadata.version(name) for name in PACKAGES},
    )


def _processor() -> str:
    """The processor's name; Linux tells it in a file, other systems through platform."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"
