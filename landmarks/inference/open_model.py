"""What a name of a model means: a run, a checkpoint, or several of them as one."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from landmarks.errors import UserError
from landmarks.files import refuse_twice
from landmarks.inference.ensemble import Ensemble, EnsembleName
from landmarks.inference.finder_protocol import Finder
from landmarks.inference.loaded_model import Model
from landmarks.inference.onnx_model import OnnxModel
from landmarks.runs.find_runs import find_checkpoint, find_members, is_kfold
from landmarks.settings import (
    AmpName,
    DecoderName,
    DeviceName,
    Needs,
    Rule,
    Threads,
    check_arguments,
)

# As a command's setting.
PATHS = Rule(lambda v: v and all(type(path) is str for path in v), "a list [PATH,PATH,...]")
Sources = str | Annotated[list, PATHS] | None
ARE_SEVERAL = Rule(
    lambda v: len(v) > 1 if isinstance(v, list) else is_several(v),
    "several checkpoints, [PATH,PATH], or a k-fold",
)
UNASKED = {"amp": ("auto",), "graph": ("auto", False)}  # what asks an exported model for nothing
SEVERAL = Needs("checkpoint", ARE_SEVERAL)
log = logging.getLogger(__name__)
Source = str | os.PathLike | None  # None: the newest run


def open_model(source: Source | Sequence[Source], **options: Any) -> Model:
    """Return a model for use from Python; see `landmarks.load`.

    Raises:
        UserError: for a source or an option that is none; see also `open_finder`.
    """
    check_arguments(_offered, options)
    listed = source if isinstance(source, list | tuple) else [source]
    named = [one for one in listed if isinstance(one, str | os.PathLike) and os.fspath(one)]
    if not listed or len(named) < len(listed):
        raise UserError(
            f"landmarks.load({source!r}): give a run's folder, a .pt or .onnx file, or a list of "
            f"them."
        )
    if len(listed) == 1 and not is_several(listed[0]):
        for name, usual in (("ensemble", "mean"), ("one_at_a_time", False)):
            if options.get(name, usual) != usual:
                raise UserError(
                    f"{name}={options[name]!r} changes nothing: it is of several models, "
                    f"landmarks.load([PATH, PATH]); leave it out."
                )
    return Model(open_finder(source if isinstance(source, str) else list(listed), **options))


def is_several(source: Source) -> bool:
    """Say whether one source means several models: a k-fold."""
    return source is not None and is_kfold(Path(source).expanduser())


def _offered(
    *,
    device: DeviceName,
    amp: AmpName,
    decoder: DecoderName | None,
    flip_test: bool | None,
    ensemble: EnsembleName,
    one_at_a_time: bool,
) -> None: ...


def open_finder(
    source: Source | Sequence[Source],
    *,
    ensemble: EnsembleName = "mean",
    one_at_a_time: bool = False,
    threads: Threads | None = None,
    **options: Any,
) -> Finder:
    """Return what finds points.

    Args:
        source: a run's folder, a .pt file, an exported .onnx file, or several of them. A k-fold's
            folder means its folds' models, each of which counts as one.
        ensemble, one_at_a_time: see `Ensemble`; for several.
        threads: that compute on a CPU, see `use_threads`; None: as the program around has set them.
        options: as of `Predictor`.

    Raises:
        UserError: if it is none, or several that do not belong together.
    """
    options["threads"] = threads
    paths = list_checkpoints(source)  # all, before the first is read
    if len(paths) == 1:
        return _open_one(paths[0], **options)
    openers = [partial(_open_one, path, **options) for path in paths]
    return Ensemble(openers, ensemble, one_at_a_time)


def list_checkpoints(source: Source | Sequence[Source]) -> list[Path]:
    """Return the files that a source means; a k-fold's folder means those of all its folds.

    Raises:
        UserError: if one is missing, or named twice.
    """
    if source is None or isinstance(source, str | os.PathLike):
        path = None if source is None else Path(source).expanduser()
        return find_members(path) or [find_checkpoint(path)]
    paths = [path for one in source for path in list_checkpoints(one)]
    refuse_twice(paths)
    return paths


def _open_one(path: Path, *, threads: Threads | None, **options: Any) -> Finder:
    if path.suffix.lower() == ".onnx":
        return _open_onnx(path, threads, **options)
    from landmarks.inference.predictor import Predictor  # torch comes with it
    from landmarks.training.cpu_threads import use_threads

    predictor = Predictor(path, **options)
    log.info(f"Model: {path} ({predictor.description})")
    if threads is not None:
        use_threads(threads, predictor.device)
    return predictor


def _open_onnx(path: Path, threads: Threads | None, **options: Any) -> Finder:
    """Return an exported model.

    Raises:
        UserError: for an option that was settled when it was exported.
    """
    device = options.pop("device", "auto")
    for name, value in options.items():
        if value not in UNASKED.get(name, (None,)):
            anew = ", or export it anew with that" if name in ("decoder", "flip_test") else ""
            raise UserError(
                f"{name}={str(value).lower()} changes nothing: {path} is an exported model, in "
                f"which this is settled; leave it out{anew}."
            )
    model = OnnxModel(path, device=device, threads=threads)
    log.info(f"Model: {path} ({model.description})")
    return model
