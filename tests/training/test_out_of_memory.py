import logging
from types import SimpleNamespace

import cv2
import pytest
import torch
from refusals import refused
from torch import nn

from landmarks.errors import UserError
from landmarks.training.memory_estimate import Estimate
from landmarks.training.optimizers import adamw
from landmarks.training.out_of_memory import (
    check_memory,
    explain_out_of_memory,
    explain_training_memory,
    is_out_of_memory,
    name_savings,
)
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training

GIB = 2**30
CPU = torch.device("cpu")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 64, 1)

    def forward(self, images, points):
        return self.maps(images.float()).square().mean()


class Deciding(Model):
    def forward(self, images, points):
        return super().forward(images, points) if images.sum() >= 0 else points.mean()


def training(model, forward=None):
    made = adamw(model, lr=0.1), Constant(), Precision("off", CPU)
    return Training(model, *made, forward=forward, accumulate=3)


def check(of, batch_size=16):
    shapes = (batch_size, 3, 64, 64), (batch_size, 5, 2)
    return check_memory(of, *shapes, ["amp=bf16"])


@pytest.fixture
def free(monkeypatch):
    def there_is(count):
        monkeypatch.setattr("landmarks.training.out_of_memory.free_memory", lambda device: count)

    return there_is


def test_what_fits_is_logged(free, caplog):
    free(10 * GIB)
    with caplog.at_level(logging.INFO):
        assert check(training(Model())).batch_size == 16
    assert "0.0 M parameters; 0.0 GFLOPs" in caplog.text
    assert "batches of 16" in caplog.text and "10.0 GiB" in caplog.text


def test_what_cannot_fit_is_refused_with_a_batch_size_that_does(free):
    whole = check(training(Model())).total()
    free(int(0.4 * whole))
    needed = f"{whole / 2**20:.0f} MiB"
    with refused(needed, "batch_size=16", "batch_size=4 accumulate=12", "amp=bf16"):
        check(training(Model()))
    free(int(1.05 * whole))
    check(training(Model()))


def test_where_no_batch_is_small_enough_none_is_suggested(free):
    free(1000)
    with refused("batch_size", "amp=bf16"):
        check(training(Model()))


def test_a_compiled_model_is_warned_about(free, caplog):
    free(1000)
    model = Model()
    assert check(training(model, forward=lambda *batch: model(*batch))) is not None
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "batch_size=16" in record.getMessage() and "amp=bf16" in record.getMessage()


def test_a_system_that_does_not_say_refuses_nothing(free):
    free(None)
    assert check(training(Model())) is not None


def test_a_model_that_cannot_be_estimated_trains_all_the_same(caplog):
    assert check(training(Deciding())) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18 GB)."),
        RuntimeError("Failed to allocate private MTLBuffer for size 2147483648"),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        OSError(12, "Cannot allocate memory"),
        cv2.error("OpenCV(4.11) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate"),
    ],
)
def test_memory_that_runs_out_is_explained_with_numbers(error):
    needed = Estimate(32, GIB, GIB, 0, 8 * GIB, 0, 0)
    named = ["epoch 3", "batch_size=32", "6.0 GiB", "10.0 GiB"]
    named += ["batch_size=16 accumulate=4", "amp=bf16", "resume=auto", "epoch 2"]
    with refused(*named) as caught, explained(needed, epoch=2):
        raise error
    assert caught.value.__cause__ is error


def explained(needed, epoch=0, batch_size=32):
    precision = SimpleNamespace(device=CPU)
    under_way = SimpleNamespace(epoch=epoch, accumulate=2, precision=precision)
    return explain_training_memory(under_way, needed, batch_size, ["amp=bf16"])


def test_without_an_estimate_or_a_smaller_batch_the_rest_is_said():
    with refused("batch_size=16 accumulate=4", "amp=bf16"), explained(None):
        raise MemoryError
    with refused("batch_size=3", "amp=bf16") as told, explained(None, batch_size=3):
        raise MemoryError
    assert "accumulate" not in str(told.value)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), explained(None):
        raise RuntimeError("shapes do not match")


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_words_that_may_mean_memory_do_where_little_is_free(words, free):
    error = RuntimeError(words)
    free(100 << 20)
    assert is_out_of_memory(error, CPU)
    free(10 * GIB)
    assert not is_out_of_memory(error, CPU)
    free(None)
    assert not is_out_of_memory(error, CPU)


def test_a_sentence_about_memory_is_not_explained_anew():
    with pytest.raises(UserError, match="Not enough memory"), explained(None):
        raise UserError("Not enough memory.")


def test_savings_are_those_the_settings_leave():
    assert name_savings("bf16", {}, 128) == ["a smaller input_size (now 128)", "a smaller model"]
    assert name_savings("off", {"stride": 2}, 64)[:2] == ["model.stride=4", "amp=bf16"]


def test_memory_that_runs_out_outside_training_is_one_sentence(free):
    free(3 * GIB)
    with (
        pytest.raises(UserError) as caught,
        explain_out_of_memory(CPU, "batches of 8", "use fewer"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    sentence = str(caught.value)
    assert all(s in sentence for s in ("batches of 8", "cpu", "3.0 GiB", "use fewer"))
    with pytest.raises(RuntimeError, match="another"), explain_out_of_memory(CPU, "a", "b"):
        raise RuntimeError("another error")
