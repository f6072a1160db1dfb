"""Device and number format: where the model runs, and autocast with or without loss scaling."""

import torch
from torch import Tensor

from landmarks.distributed import processes
from landmarks.errors import UserError
from landmarks.settings import DEVICES, AmpName, DeviceName


def choose_device(name: DeviceName) -> torch.device:
    """Return the device; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: if the named device is not there, or there is none of that name.
    """
    if name not in DEVICES:
        raise UserError(f"device={name}: the choices are {', '.join(DEVICES)}.")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((device for device, found in there.items() if found), "cpu")
    elif not there.get(name, True):
        usable = [device for device, found in there.items() if found]
        raise UserError(
            f"device={name}: this machine or this torch has none; use device="
            f"{' or device='.join([*usable, 'cpu', 'auto'])}."
        )
    if processes.world() > 1:
        return _own_device(name)
    return torch.device(name)


def _own_device(name: str) -> torch.device:
    """Return the device of one of several processes: the GPU of its number on this machine."""
    if name == "mps":
        raise UserError("device=mps is for one process: use one, or device=cpu.")
    if name == "cpu":
        return torch.device("cpu")
    found, wanted = torch.cuda.device_count(), processes.local_world()
    if wanted > found:
        raise UserError(
            f"{wanted} processes were started on this machine, which has {found} GPUs: start as "
            f"many, or use device=cpu."
        )
    device = torch.device("cuda", processes.local_rank())
    torch.cuda.set_device(device)
    return device


class Precision:
    """Autocast and gradient scaling on one device.

    Args:
        amp: "bf16", "fp16" (with loss scaling), "off", or "auto": bf16 where the device computes
            in it at speed, fp16 on older CUDA devices, off elsewhere.
        device: where the model runs.

    Attributes:
        name: the choice, "bf16", "fp16" or "off".
    """

    def __init__(self, amp: AmpName, device: torch.device):
        self.name = _fastest(device) if amp == "auto" else amp
        if self.name == "fp16" and device.type == "cpu":
            raise UserError("amp=fp16 needs a GPU; use amp=bf16, off or auto on the CPU.")
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")

    def autocast(self) -> torch.autocast:
        """Return the context in which models run."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.name != "off")

    def step(
        self, optimizer: torch.optim.Optimizer, clip: float | None, factor: float | Tensor = 1.0
    ) -> None:
        """Take an optimiser step; the gradients are not used up.

        Args:
            optimizer: whose parameters have gradients.
            clip: largest norm of the gradient; None: any.
            factor: on the gradients, first of all; on the device a scalar of its own.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if isinstance(factor, Tensor) or factor != 1:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], factor)
        if clip is not None:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        self.scaler.step(optimizer)
        self.scaler.update()


def _fastest(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        # Without the matrix unit bf16 is emulated or half as fast as float32 (measured).
        return "bf16" if able.get("amx_bf16") else "off"
    return "off"
