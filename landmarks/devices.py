"""Copies to a device and back, and waiting for it."""

from collections.abc import Callable

import torch
from torch import Tensor


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on a device, without waiting for CUDA.

    On other devices the copy is complete on return. On MPS before torch 2.13, an asynchronous copy
    may read later contents of its source (pytorch/pytorch issue 139550).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work; for measuring times."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def fetch(tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
    """Start copying tensors of one device to the host; return a function that waits for them.

    CUDA continues with other work meanwhile; other devices are waited for at once.
    """
    if tensors[0].device.type != "cuda":
        copies = [tensor.cpu() for tensor in tensors]
        return lambda: copies
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> list[Tensor]:
        copied.synchronize()
        return copies

    return wait
