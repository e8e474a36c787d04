"""Which device "auto" means here, found out without loading PyTorch where there is no GPU."""

from __future__ import annotations

import os
import re
import sys
import warnings

from ..errors import UsageError

__all__ = ["choose_device", "each_device"]


def _nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed, judging by a file."""
    if sys.platform == "win32":
        root = os.environ.get("SYSTEMROOT", "C:\\Windows")
        return os.path.exists(os.path.join(root, "System32", "nvcuda.dll"))
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")


def _torch_for_cpus() -> bool:
    """Whether the installed PyTorch is missing or built without CUDA, judging by its version."""
    import importlib.metadata  # slow to load: only for those with a driver

    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return True


def choose_device(device: str) -> str:
    """The device itself or, for "auto", "cuda" where PyTorch finds a GPU it can use, else "cpu".

    PyTorch is loaded only where there is an NVIDIA driver, so that others start as fast as ever.
    Raises UsageError for what is no device's name.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", device):
        raise UsageError(f"there is no device {device!r} (use auto, cpu, cuda or cuda:N)")
    if device != "auto":
        return device
    if not _nvidia_driver() or _torch_for_cpus():
        return "cpu"
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver is no error: the CPU computes the same
        return "cuda" if torch.cuda.is_available() else "cpu"


def each_device(device: str) -> list[str]:
    """The devices that a name stands for: "cuda" for all GPUs there are."""
    if device != "cuda":
        return [device]
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or [device]
