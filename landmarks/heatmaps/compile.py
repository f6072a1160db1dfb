"""torch.compile for the heatmap loss, where the machine has what it needs."""

import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Callable
from typing import Literal

import torch

log = logging.getLogger(__name__)
# It warns of a CUDA that is not there wherever a loss is compiled for the CPU.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def fuse_loss(function: Callable, fuse: bool | Literal["auto"]) -> Callable:
    """Return the function, compiled where that is wanted and possible.

    Compiled, a tile is read and written once; as it is, once for every operation in the loss. The
    first call compiles, or finds what an earlier run on this machine has compiled.

    Args:
        function: of `landmarks.heatmaps.loss.pointwise`.
        fuse: whether to compile; "auto": if there is a compiler for the device.
    """
    if not (can_compile() if fuse == "auto" else fuse):
        return function
    # A kernel a shape: one for many shapes is chosen by what came before, and would not add up in
    # the same order after a resume.
    compiled = torch.compile(function, dynamic=False)
    is_first = True

    def timed(*arguments):
        nonlocal is_first, compiled
        if type(arguments[0]) is not torch.Tensor:
            return function(*arguments)  # a fake one, by which memory is counted before the start
        if not is_first:
            return compiled(*arguments)
        is_first, started = False, time.perf_counter()
        try:
            found = compiled(*arguments)
        except Exception as error:
            # A compiler that is there and does not work fails in as many ways as there are
            # machines; what has nothing to do with it fails again below.
            if fuse != "auto":
                raise
            compiled = function
            found = function(*arguments)
            log.warning(
                "The loss cannot be compiled here and is slower as it is (%s); model.fuse=true "
                "shows why.",
                type(error).__name__,
            )
            return found
        log.info("The loss was compiled in %.0f s.", time.perf_counter() - started)
        return found

    return timed


def can_compile() -> bool:
    """Say whether torch.compile has what it needs here: Triton on CUDA, a C++ compiler else."""
    if torch.cuda.is_available():
        enough = torch.cuda.get_device_capability() >= (7, 0)
        return enough and importlib.util.find_spec("triton") is not None
    compiler = os.environ.get("CXX") or "g++"
    return os.name == "posix" and shutil.which(compiler) is not None
