"""What goes to a device and comes back from it, and how long it takes."""

from collections.abc import Callable

import torch
from torch import Tensor


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on a device; a CUDA device is not waited for.

    Elsewhere the copy is complete on return. On MPS, before torch 2.13, one that is not waited for
    may read what its source holds later (pytorch/pytorch issue 139550).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given: for measuring times."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def fetch(tensors: list[Tensor]) -> Callable[[], list[Tensor]]:
    """Begin to copy tensors of one device to the host; the function returned waits for them.

    CUDA goes on meanwhile with what it is given next; other devices are waited for at once.
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
