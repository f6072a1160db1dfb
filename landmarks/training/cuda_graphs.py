"""CUDA graphs: work that is recorded once and launched again as a whole."""

import ctypes
import logging
from collections.abc import Callable
from contextlib import suppress

import torch

from landmarks.distributed import processes
from landmarks.errors import UserError
from landmarks.settings import Graph

log = logging.getLogger(__name__)


def choose_graph(graph: Graph, recordable: bool, device: torch.device) -> Graph:
    """Return whether a model's work is recorded: "auto" says no where it cannot be.

    Args:
        graph: whether it is to be.
        recordable: the model's own word.
        device: where it runs.

    Raises:
        UserError: if graph=True and it cannot be.
    """
    why_not = ""
    if device.type != "cuda":
        why_not = f"work is recorded on CUDA alone, and this is device={device.type}"
    elif processes.world() > 1:
        why_not = "the work of several processes, which wait for one another, is not recorded"
    elif not recordable:
        why_not = "this model's work differs from batch to batch, so it cannot be recorded"
    if graph is True and why_not:
        raise UserError(f"graph=true: {why_not}; use graph=auto.")
    if graph and why_not and device.type == "cuda":
        log.info(f"No CUDA graph: {why_not}.")
    return False if why_not else graph


def record(function: Callable[[], None], device: torch.device, pool=None) -> Callable[[], None]:
    """Record the work that a function launches; return what launches it again.

    Recording runs the function's Python once and none of its work on the device. A replay runs the
    work and no Python, on the tensors that were there: inputs are copied into the same tensors
    before it, and results are taken from the same tensors after it. On other devices than CUDA a
    replay is a call of the function.

    Args:
        function: it must have run before, so that libraries are tuned, code is compiled and
            optimisers have their state; it may not ask the device for a value.
        device: where it runs.
        pool: of `new_pool`: memory shared by recordings that are replayed in turns; None: its own.

    Raises:
        torch.OutOfMemoryError: if there is no memory for it.
        RuntimeError: if the work cannot be recorded.
    """
    if device.type != "cuda":
        return function
    graph, pool, stream = (
        torch.cuda.CUDAGraph(),
        pool or new_pool(device),
        torch.cuda.current_stream(),
    )
    try:
        # Other threads go on reading images and pinning memory meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            function()
    except RuntimeError as error:
        _leave(graph, stream, pool)
        # What ended the recording is hidden behind the error of ending it.
        cause = error
        while cause is not None and not isinstance(cause, torch.OutOfMemoryError):
            cause = cause.__cause__ or cause.__context__
        if cause is None or cause is error:
            raise
        raise cause from None
    return graph.replay


def has_room(device: torch.device, times: int = 1) -> bool:
    """Say whether there is so many times the memory that what has run before took at its most.

    A recording takes as much, and keeps it to itself. To run out of memory in the middle of one is
    an end that torch before 2.12 cannot go on from.
    """
    if device.type != "cuda":
        return True
    torch.cuda.empty_cache()  # what it no longer uses is free, too
    needed = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    return times * needed <= torch.cuda.mem_get_info(device)[0]


def _leave(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, pool) -> None:
    """Undo what torch leaves behind where a recording fails: its stream, and its memory's.

    Otherwise no memory would be given back to the device for as long as the process lives
    (pytorch/pytorch issue 180395).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(graph))  # destroying it would abort the process
    torch.cuda.set_stream(stream)
    with suppress(RuntimeError):  # the first says so where it is undone already
        torch._C._cuda_endAllocateToPool(stream.device.index, pool)
        torch._C._cuda_releasePool(stream.device.index, pool)


def new_pool(device: torch.device):
    """Return memory for several recordings; None on devices without graphs."""
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None
