"""torch.compile for the heatmap loss, where the machine has what it needs."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Literal

import torch


def fuse_loss(function: Callable, fuse: bool | Literal["auto"]) -> Callable:
    """Return the function, compiled where that is possible; the first call then compiles it.

    Compiled, a tile is read and written once; as it is, once for every operation in the loss.

    Args:
        function: of `landmarks.heatmaps.pointwise`.
        fuse: whether to compile; "auto": if there is a compiler for the device.
    """
    if not (can_compile() if fuse == "auto" else fuse):
        return function
    return torch.compile(function)


def can_compile() -> bool:
    """Say whether torch.compile has what it needs here: Triton on CUDA, a C++ compiler else."""
    if torch.cuda.is_available():
        enough = torch.cuda.get_device_capability() >= (7, 0)
        return enough and importlib.util.find_spec("triton") is not None
    compiler = os.environ.get("CXX") or "g++"
    return os.name == "posix" and shutil.which(compiler) is not None
