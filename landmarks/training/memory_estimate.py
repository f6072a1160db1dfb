"""Counts memory and arithmetic of a training step by a dry run on fake tensors.

The step is run on fake tensors, which have shapes and no content, and every storage is counted from
its allocation to its release: forward, backward and what an autograd function of a head's own makes
and throws away on the way. No model is known here.

So it is the least that is needed. Not seen is what a convolution's library takes for itself while
it works (cuDNN's and oneDNN's workspaces) and what allocators lose to fragments: glibc's has been
seen to hold 1.06 to 1.5 times as much. Nor is what a compiled model saves. The counter of
arithmetic holds gradients between modules a little longer: under one percent of a step.
"""

import copy
import logging
import weakref
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from landmarks.runs.checkpoint import random_state, restore_random_state
from landmarks.training.training_state import Training


@dataclass(frozen=True)
class Estimate:
    """What training needs, in bytes, and what a step costs.

    Args:
        batch_size: B.
        weights: of the model and of its average, which are there already.
        state: the optimiser's.
        gradients: one of every trained parameter.
        step: the most that a step of B images holds at any time: activations, gradients, images.
        parameters: their number.
        flops: floating-point operations an image, forward and backward, of products and
            convolutions; a multiply-add is two.
    """

    batch_size: int
    weights: int
    state: int
    gradients: int
    step: int
    parameters: int
    flops: float

    def total(self, batch_size: int | None = None) -> float:
        """Return the bytes needed at this batch size; None: at B. Gradients do not grow with it."""
        share = 1.0 if batch_size is None else batch_size / self.batch_size
        grown = max(0, self.step - self.gradients)
        return self.weights + self.state + min(self.step, self.gradients) + share * grown


def estimate_step(
    training: Training,
    images: tuple[int, ...],
    points: tuple[int, ...],
) -> Estimate:
    """Return what a training of batches of this shape needs; `training` is left as it is.

    Args:
        training: model, optimiser and precision. A model whose shapes depend on values has a
            `rehearse`, called instead of it, that takes the same without asking for any.
        images: shape (B, 3, S, S) of what the model is given: uint8 as read, float32 as augmented.
        points: shape (B, K, 2).

    Raises:
        Exception: whatever the model raises where it asks for a value that decides a shape.
    """
    # Imported here: it is a private name, and a torch without it must still train.
    from torch._subclasses.fake_tensor import FakeTensorMode

    random, device = random_state(), training.precision.device
    dtype = torch.uint8 if training.augment is None else torch.float32
    torch_log = logging.getLogger(FakeTensorMode.__module__)
    torch_log.disabled = True  # it prints a trace of errors, which the caller handles
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    own = [*training.model.parameters(), *training.model.buffers()]
    # A copy with fake tensors: the model's own buffers, such as batch statistics, cannot change.
    model = copy.deepcopy(training.model, {id(tensor): fake.from_tensor(tensor) for tensor in own})
    model.train()
    ledger = Ledger([*model.parameters(), *model.buffers()])
    counter = FlopCounterMode(display=False)
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        # Compiled parts of a model are counted as if they were eager.
        with torch.compiler.set_stance("force_eager"), fake, counter, ledger:
            if training.accumulate > 1:  # gradients outlive a batch
                for parameter in trained:
                    parameter.grad = torch.zeros_like(parameter)
            batch = torch.empty(images, dtype=dtype, device=device)
            batch = batch.contiguous(memory_format=torch.channels_last)
            truth = torch.empty(points, device=device)
            with training.precision.autocast():
                loss = getattr(model, "rehearse", model)(batch, truth)
            loss.backward()
    finally:
        torch_log.disabled = False
        restore_random_state(random)
    gradients = sum(count_bytes(p) for p in trained)
    copies = 1 if training.ema is None else 2
    return Estimate(
        images[0],
        copies * sum(count_bytes(tensor) for tensor in own),
        int(gradients * _state_share(training.optimizer)),
        gradients,
        ledger.peak,
        sum(p.numel() for p in model.parameters()),
        counter.get_total_flops() / images[0],
    )


class Ledger(TorchDispatchMode):
    """Counts, operation by operation, the bytes of the storages that live.

    Args:
        known: not counted, nor are views of them.

    Attributes:
        live, peak: bytes allocated since the start and not yet released, and the most of them.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self._watched: dict[int, weakref.ref] = {}
        self.live = 0
        for tensor in known:
            self._watch(tensor.untyped_storage())
        self.live = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._watch(value.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._watched:
            return

        def release(_) -> None:
            del self._watched[key]
            self.live -= size

        self._watched[key] = weakref.ref(storage, release)
        self.live += size


def count_bytes(tensor: Tensor) -> int:
    """Return the size of a tensor's content in bytes."""
    return tensor.numel() * tensor.element_size()


def _state_share(optimizer: torch.optim.Optimizer) -> float:
    """Return the elements of an optimiser's state for each of a parameter, found by one step."""
    parameter = nn.Parameter(torch.zeros(64))
    parameter.grad = torch.zeros(64)
    one = copy.copy(optimizer)
    one.state = defaultdict(dict)
    one.param_groups = [{**optimizer.param_groups[0], "params": [parameter]}]
    one.step()
    kept = [v for v in one.state[parameter].values() if isinstance(v, Tensor)]
    return sum(v.numel() for v in kept if v.shape == parameter.shape) / parameter.numel()
