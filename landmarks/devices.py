"""What goes to a device and comes back from it, and how long it takes."""

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
