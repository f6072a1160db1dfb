"""`data.cache=device`, and what "auto" chooses: whether faces are kept in the GPU's memory."""

import gc
import logging

import torch

from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.batches.device_batches import DeviceBatches, bytes_on_device
from landmarks.errors import UserError
from landmarks.machine import free_memory, say_bytes
from landmarks.training.memory_estimate import Estimate
from landmarks.training.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)
SPARE_STEPS = 2.0  # times the least that training needs, left to it: workspaces, graphs, fragments
SPARE_BYTES = 1 << 30  # bytes that stay free besides
UNKNOWN_SHARE = 0.4  # of what is free, left to a training whose memory could not be counted


def refuse_device_cache(cache: str, device: torch.device) -> None:
    """Raise UserError if faces are to be kept in a GPU's memory and training is not on one."""
    if cache == "device" and device.type != "cuda":
        raise UserError(
            f"data.cache=device keeps faces in a CUDA GPU's memory and training is on "
            f"{device.type}: use data.cache=ram or data.cache=auto."
        )


def keep_on_device(inputs: Inputs, device: torch.device, needed: Estimate | None) -> Inputs:
    """Return the inputs, their training and validation faces on the device if they are to be there.

    "device" wants them there, beside the least that training needs; "auto" where they leave it
    ample room. The pictured faces stay on the host.

    Args:
        inputs: read from the host.
        device: the model and its average are there already.
        needed: by training; None: it could not be counted.

    Raises:
        UserError: if they do not fit and data.cache=device asks for it, or at unreadable images.
    """
    cache = inputs.faces.cache
    if cache != "device" and not (cache == "auto" and device.type == "cuda"):
        return inputs
    size = bytes_on_device(inputs.training) + bytes_on_device(inputs.validation)
    free = free_memory(device)
    spare = spare_memory(cache, free, needed)
    if size + spare > free:
        return _go_without(inputs, size, free, spare, logging.INFO)
    log.info(
        f"Canvas cache: {say_bytes(size)} on the GPU ({say_bytes(free)} free, of which "
        f"{say_bytes(spare)} are left to training)."
    )
    try:
        return inputs._replace(
            training=DeviceBatches(inputs.training, device),
            validation=DeviceBatches(inputs.validation, device),
            reading="images in the GPU's memory",
        )
    except Exception as error:
        if not is_out_of_memory(error, device):
            raise
    gc.collect()  # what the traceback held
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return _go_without(inputs, size, free_memory(device), spare, logging.WARNING)


def spare_memory(cache: str, free: int, needed: Estimate | None) -> int:
    """Return the bytes of a device's memory that are left to training.

    Args:
        cache: "device" leaves it the least it needs, "auto" twice that and some more.
        free: bytes.
        needed: the least; None: not known.
    """
    if needed is None:
        return int(UNKNOWN_SHARE * free)
    least = needed.total() - needed.weights  # which are there
    return int(least if cache == "device" else SPARE_STEPS * least + SPARE_BYTES)


def name_cache_savings(inputs: Inputs) -> list[str]:
    """Return the settings that give training the memory which faces take, in words."""
    return ["data.cache=disk"] if isinstance(inputs.training, DeviceBatches) else []


def _go_without(inputs: Inputs, size: int, free: int, spare: int, level: int) -> Inputs:
    wanted, left, spared = say_bytes(size), say_bytes(free), say_bytes(spare)
    if inputs.faces.cache == "device":
        raise UserError(
            f"data.cache=device needs {wanted} of the GPU's memory, where {left} are free and "
            f"training needs {spared}: use data.cache=disk, or a smaller input_size or batch_size."
        )
    log.log(
        level,
        f"Canvas cache: not on the GPU, {inputs.reading}; {wanted} would be needed, {left} are "
        f"free and {spared} of it are left to training.",
    )
    return inputs
