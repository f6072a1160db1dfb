"""The extra memory that a call needs at its peak."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

from landmarks.errors import UserError


def extra_peak(call: Callable, device: torch.device) -> int:
    """Return the bytes that a call needs at its peak, beyond what there was before; it is run once.

    On the CPU resident memory, which needs Linux.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not be found again
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    except (OSError, AttributeError) as error:
        raise UserError("Peak memory can be measured on Linux or CUDA only.") from error
    before = _status("VmRSS")
    call()
    return max(1, _status("VmHWM") - before)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise UserError(f"/proc/self/status has no {key}.")
