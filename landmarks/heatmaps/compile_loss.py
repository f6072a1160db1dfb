"""torch.compile for the heatmap loss, where the machine has a compiler."""

import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Callable
from typing import Literal

import torch

log = logging.getLogger(__name__)
# It warns of missing CUDA whenever a loss is compiled for the CPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def fuse_loss(function: Callable, fuse: bool | Literal["auto"]) -> Callable:
    """Return the function, compiled where that is asked for and possible.

    A compiled function reads and writes a tile once; an eager one, once for each operation in the
    loss. The first call compiles, or loads the kernel that an earlier run on this machine compiled.

    Args:
        function: of `landmarks.heatmaps.heatmap_loss.pointwise`.
        fuse: whether to compile; "auto": if there is a compiler for the device.
    """
    if not (can_compile() if fuse == "auto" else fuse):
        return function
    # One kernel a shape. A kernel for many shapes depends on the shapes seen before, so after a
    # resume it would add up in another order.
    compiled = torch.compile(function, dynamic=False)
    is_first = True

    def timed(*arguments):
        nonlocal is_first, compiled
        if type(arguments[0]) is not torch.Tensor:
            return function(*arguments)  # a fake tensor: memory is being counted
        if not is_first:
            return compiled(*arguments)
        is_first, started = False, time.perf_counter()
        try:
            found = compiled(*arguments)
        except Exception as error:
            # A broken compiler fails in many ways, so every error is caught. An error of the loss
            # itself is raised again by the eager call below.
            if fuse != "auto":
                raise
            compiled = function
            found = function(*arguments)
            log.warning(
                "The loss cannot be compiled here, so training is slower "
                f"({type(error).__name__}). +model.fuse=true shows the compiler's error."
            )
            return found
        log.info(f"The loss was compiled in {time.perf_counter() - started:.0f} s.")
        return found

    return timed


def can_compile() -> bool:
    """Say whether torch.compile can work here: it needs Triton on CUDA, else a C++ compiler."""
    if torch.cuda.is_available():
        enough = torch.cuda.get_device_capability() >= (7, 0)
        return enough and importlib.util.find_spec("triton") is not None
    compiler = os.environ.get("CXX") or "g++"
    return os.name == "posix" and shutil.which(compiler) is not None
