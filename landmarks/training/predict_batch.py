"""A model's prediction of a batch: launched piece by piece, or recorded once and replayed."""

import logging

import torch
from torch import Tensor, nn

from landmarks.devices import refill
from landmarks.geometry import transform
from landmarks.settings import Graph
from landmarks.training.cuda_graphs import choose_graph, has_room, record
from landmarks.training.precision import Precision

log = logging.getLogger(__name__)
WARM_UP = 2  # batches before one is recorded: they tune, compile and allocate


class Forward:
    """Points of a batch's faces, in original pixels.

    Args:
        precision: autocast, and the device.
    """

    def __init__(self, precision: Precision):
        self.precision = precision

    def open(self, model: nn.Module) -> None:
        """Take the model that predicts from now on; to be called anew when its tensors may be
        others."""
        self.model = model

    def __call__(self, images: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) float32, in original pixels, and confidence (B, K).

        Args:
            images: (B, 3, S, S), on the device.
            to_image: (B, 2, 3), from their pixels to those of the original images.
        """
        with self.precision.autocast():
            points, confidence = self.model(images)
        return transform(to_image, points.float()), confidence


class RecordedForward(Forward):
    """The same, recorded once and replayed, see `landmarks.training.cuda_graphs.record`.

    It is recorded after WARM_UP batches of one shape, and anew when the shape, the model or one of
    its tensors is another one. Weights that change in place are seen. A smaller batch, as the last
    one of a data set, is filled up with faces of the batch before, whose results are dropped. What
    cannot be recorded is launched piece by piece, and that is said once.
    """

    model: nn.Module | None = None
    tensors: tuple = ()

    def __init__(self, precision: Precision):
        super().__init__(precision)
        self._forget(None)

    def _forget(self, shape: tuple | None) -> None:
        self.shape, self.batch, self.seen = shape, 0, 0
        self.inputs, self.found, self.replay = [], [], None

    def open(self, model: nn.Module) -> None:
        """Take the model that predicts from now on; see `Forward.open`."""
        held = [*model.parameters(), *model.buffers()]
        tensors = tuple((tensor.data_ptr(), tensor.shape, tensor.dtype) for tensor in held)
        if model is not self.model:  # one that could not be recorded is not tried anew
            self.recordable = getattr(model, "recordable", True)
        if model is not self.model or tensors != self.tensors:
            self._forget(None)
        self.model, self.tensors = model, tensors

    def __call__(self, images: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `Forward` does."""
        count, shape = len(images), (images.shape[1:], images.dtype)
        if shape != self.shape or count > self.batch:
            self._forget(shape)
            self.batch = count
        if self.replay is None:
            if count < self.batch or self.seen < WARM_UP or not self.recordable:
                self.seen += count == self.batch
                return super().__call__(images, to_image)
            self._record(images, to_image)
            if self.replay is None:
                return super().__call__(images, to_image)
        for held, given in zip(self.inputs, (images, to_image), strict=True):
            refill(held[:count], given)
        self.replay()
        # They are overwritten by the next replay.
        points, confidence = (values[:count].clone() for values in self.found)
        return points, confidence

    def _record(self, images: Tensor, to_image: Tensor) -> None:
        if not has_room(self.precision.device):
            self.recordable = False
            log.info("Prediction is not recorded as a CUDA graph: there is not the memory for it.")
            return
        self.inputs = [images.clone(), to_image.clone()]

        def run() -> None:
            self.found = super(RecordedForward, self).__call__(*self.inputs)

        try:
            self.replay = record(run, self.precision.device)
        except torch.OutOfMemoryError:
            self._forget(None)
            raise
        except RuntimeError as error:
            self._forget(self.shape)
            self.recordable = False
            log.warning(f"Prediction is not recorded as a CUDA graph: {error}")


def choose_forward(graph: Graph, model: nn.Module, precision: Precision) -> Forward:
    """Return what predicts batches: recorded on CUDA where the model allows, if it is wanted.

    Raises:
        UserError: for graph=True where nothing can be recorded.
    """
    is_recorded = choose_graph(graph, model.recordable, precision.device)
    return RecordedForward(precision) if is_recorded else Forward(precision)
