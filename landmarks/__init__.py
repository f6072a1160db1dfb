"""Train, judge and run dense facial landmark models."""

from typing import TYPE_CHECKING, Literal

from landmarks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from landmarks.inference.loaded_model import Landmarks, Model

__version__ = "0.1.0"
__all__ = ["Landmarks", "Model", "UserError", "load"]


def load(
    source: "str | PathLike[str] | Sequence[str | PathLike[str]]",
    *,
    device: Literal["auto", "cuda", "cpu", "mps"] = "auto",
    amp: Literal["auto", "bf16", "fp16", "off"] = "auto",
    decoder: Literal["argmax", "weighted", "local", "dark"] | None = None,
    flip_test: bool | None = None,
    ensemble: Literal["mean", "median", "weighted"] = "mean",
    one_at_a_time: bool = False,
) -> "Model":
    """Open a trained model for use.

    Args:
        source: a run's folder, a .pt file, an exported .onnx file (which needs no torch), or a list
            of them: an ensemble.
        device: where it runs; "auto": a GPU if there is one.
        amp: number format of mixed precision; "off": float32; "auto": what is fast.
        decoder: how a point is read off its heatmap; None: as in training.
        flip_test: the mean of a face's and its mirror image's points; None: as validated.
        ensemble: how several models' points are combined; "weighted": by validation error.
        one_at_a_time: of several models, hold one's memory at a time.

    Raises:
        UserError: one sentence that says what is wrong with the file.
    """
    from landmarks.inference.open_model import open_model  # torch comes with it

    options = {"device": device, "amp": amp, "decoder": decoder, "flip_test": flip_test}
    return open_model(source, ensemble=ensemble, one_at_a_time=one_at_a_time, **options)


def __getattr__(name: str):
    if name in ("Landmarks", "Model"):
        from landmarks.inference import loaded_model

        return getattr(loaded_model, name)
    raise AttributeError(f"module 'landmarks' has no attribute '{name}'")
