"""Out of memory: refused before training starts, explained where it happens in training."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from landmarks.errors import UserError
from landmarks.machine import free_memory, say_bytes
from landmarks.training.data_parallel import Replicas
from landmarks.training.memory_estimate import Estimate, estimate_step
from landmarks.training.time_budget import memory_in_use
from landmarks.training.training_state import Training

log = logging.getLogger(__name__)
MIN_BATCH = 2  # faces a batch: batch normalisation has no statistics of one
ONE_VALUE = "Expected more than 1 value per channel"  # torch's words for a batch too small
OUT_OF_MEMORY = (  # words of libraries, in lower case
    "out of memory",  # CUDA where another process has filled the card, MPS, HIP, XPU
    "can't allocate memory",  # torch on the CPU
    "cannot allocate memory",  # Linux
    "not enough memory",
    "status_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE
    "allocation_failed",  # newer cuDNN
    "failed to allocate",  # MPS' buffers, OpenCV
    "insufficient memory",
    "invalid buffer size",  # MPS
    "bad_alloc",
)
# What CUDA's libraries also say where their workspaces do not fit.
PERHAPS_OUT_OF_MEMORY = (
    "cublas_status_not_initialized",
    "cudnn_status_not_initialized",
    "cudnn_status_internal_error",
    "cudnn_status_execution_failed",
    "unable to find an engine",
)
LITTLE_MEMORY = 1 << 29  # bytes
MAX_SHARE = 0.8  # of the memory that a suggested batch may need; fragments, workspaces: the rest


def check_memory(
    training: Training,
    images: tuple[int, ...],
    points: tuple[int, ...],
    savings: list[str],
) -> Estimate | None:
    """Log what training needs and return it; None if that cannot be counted.

    Args:
        training: not started; left as it is.
        images, points: shapes (B, 3, S, S) and (B, K, 2) of a batch.
        savings: other settings that take less memory, in words.

    Raises:
        UserError: if it is more than there is (a compiled model may need less than it is known to:
            that is a warning), or if a batch is too small for batch normalisation.
    """
    needed = count_memory(
        training,
        images,
        points,
        lambda why: log.warning(
            f"The memory that training needs could not be counted ({why}): it may not fit."
        ),
    )
    if needed is None:
        return None
    free = free_memory(training.precision.device)
    left = "" if free is None else f", {say_bytes(free + needed.weights)} free"
    log.info(
        f"{needed.parameters / 1e6:.1f} M parameters; {needed.flops / 1e9:.1f} GFLOPs an image and "
        f"step; at least {say_bytes(needed.total())} of memory for batches of {needed.batch_size}"
        f"{left}."
    )
    if free is not None and needed.total() > free + needed.weights:
        sentence = _refuse(needed, free + needed.weights, training.accumulate, savings)
        if training.forward is training.model or isinstance(training.forward, Replicas):
            raise UserError(sentence)
        log.warning(f"{sentence} Compiled, it may need less.")
    return needed


def count_memory(
    training: Training,
    images: tuple[int, ...],
    points: tuple[int, ...],
    otherwise: Callable[[str], None],
) -> Estimate | None:
    """Return what a step needs; None, once `otherwise` is told why, if that cannot be counted.

    A model may do what fake tensors cannot follow, and train well.

    Args:
        training, images, points: see `estimate_step`.

    Raises:
        UserError: if the batch is too small for batch normalisation.
    """
    try:
        return estimate_step(training, images, points)
    except Exception as error:
        said = " ".join(str(error).split())
        if ONE_VALUE in said:
            raise UserError(
                f"Batch normalisation has only one value a channel at batch_size={images[0]} and "
                f"{images[-1]} px: use a larger batch_size, a larger input_size or "
                f"model.norm=group."
            ) from error
        otherwise(f"{type(error).__name__}: {said[:200]}")
        return None


def _refuse(needed: Estimate, free: int, accumulate: int, savings: list[str]) -> str:
    total, size = needed.total(), needed.batch_size
    model = needed.total(0)
    smaller = size // 2
    while smaller >= MIN_BATCH and needed.total(smaller) > MAX_SHARE * free:
        smaller //= 2
    advice = "no smaller batch_size is enough"
    if smaller >= MIN_BATCH:
        advice = (
            f"batch_size={smaller} accumulate={accumulate * round(size / smaller)} needs about "
            f"{say_bytes(needed.total(smaller))}"
        )
    return (
        f"Training needs at least {say_bytes(total)} (model, gradients and optimizer "
        f"{say_bytes(model)}, activations {say_bytes(total - model)} at batch_size={size}) and "
        f"{say_bytes(free)} are free: {advice}; or use {', '.join(savings)}."
    )


def explain_training_memory(
    training: Training, needed: Estimate | None, batch_size: int, savings: list[str]
) -> AbstractContextManager:
    """Turn an allocation that fails in training, in this context, into advice.

    Args:
        training: under way.
        needed: as `check_memory` returned it.
        batch_size, savings: faces a batch, and settings that take less.

    Raises:
        UserError: if out of memory.
    """

    def sentence() -> str:
        device, smaller = training.precision.device, batch_size // 2
        use = f"{memory_in_use(device)} in use at batch_size={batch_size}"
        if device.type == "cuda":
            whole = torch.cuda.get_device_properties(device).total_memory
            use += f", of {say_bytes(whole)}"
        advice = ["use " + ", ".join(savings)]
        if smaller >= MIN_BATCH:
            sizes = f"batch_size={smaller} accumulate={2 * training.accumulate}"
            if needed is not None:
                least = [say_bytes(needed.total(size)) for size in (smaller, batch_size)]
                sizes += f", which needs about {least[0]} instead of {least[1]}"
            advice.insert(0, sizes)
        saved = f"; resume=auto goes on after epoch {training.epoch}" if training.epoch else ""
        return (
            f"Out of memory in epoch {training.epoch + 1}, with {use}: "
            f"{', or '.join(advice)}{saved}."
        )

    return _in_a_sentence(sentence, training.precision.device)


def explain_out_of_memory(device: torch.device, what: str, advice: str) -> AbstractContextManager:
    """Turn an allocation that fails outside of training, in this context, into one sentence.

    Args:
        device: where the memory is.
        what: needs it.
        advice: what to do.

    Raises:
        UserError: if out of memory.
    """

    def sentence() -> str:
        free = free_memory(device)
        left = "" if free is None else f" ({say_bytes(free)} are free)"
        return f"Out of memory with {what} on {device}{left}: {advice}."

    return _in_a_sentence(sentence, device)


@contextmanager
def _in_a_sentence(sentence: Callable[[], str], device: torch.device) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error, device):
            raise
        raise UserError(sentence()) from error


def is_out_of_memory(error: Exception, device: torch.device) -> bool:
    """Say whether an error means out of memory, in the words of any library.

    Args:
        error: that was raised.
        device: where the model runs.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = "" if isinstance(error, UserError) else str(error).lower()
    if any(words in said for words in OUT_OF_MEMORY):
        return True
    if not any(words in said for words in PERHAPS_OUT_OF_MEMORY):
        return False
    free = free_memory(device)
    return free is not None and free < LITTLE_MEMORY


def name_savings(precision_name: str, model: dict, input_size: int) -> list[str]:
    """Return settings that take less memory than these, in words.

    Args:
        precision_name: "bf16", "fp16" or "off".
        model: the model's settings.
        input_size: pixels.
    """
    savings = [f"model.stride={2 * model['stride']}"] if "stride" in model else []
    savings += ["amp=bf16"] if precision_name == "off" else []
    return [*savings, f"a smaller input_size (now {input_size})", "a smaller model"]
