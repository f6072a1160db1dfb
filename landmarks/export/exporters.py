"""Writes what `PhotoModel` does as one file, ONNX or torch's own; measures how far it is off."""

import contextlib
import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from landmarks.data.images.images_from_python import gather_faces
from landmarks.errors import UserError
from landmarks.inference.finder_protocol import Finder, Framing

OPSET = 18
TALKERS = ("torch.onnx", "onnxscript", "onnx_ir")  # loggers
HALVED = 4096  # weights of fewer numbers stay as they are in fp16 files
MISSING = "format=onnx needs onnx, onnxscript and onnxruntime: pip install 'landmarks[onnx]'."
MAX_DIFFERENCE = 0.05  # original pixels between a file's point and the model's, at most


def trace(model: nn.Module, boxed: bool) -> torch.export.ExportedProgram:
    """Return the program of a model of photos, for any number of photos of any size.

    Args:
        model: `PhotoModel` or `PhotoEnsemble`, on the CPU.
        boxed: does it take boxes?
    """
    anything = torch.export.Dim.DYNAMIC
    examples = [torch.randint(0, 255, (2, 157, 121, 3), dtype=torch.uint8)]
    shapes = [{0: anything, 1: anything, 2: anything}]
    if boxed:
        examples.append(torch.tensor([[20.0, 30, 90, 110], [11, 12, 70, 80]]))
        shapes.append({0: anything})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(
            model.eval(), tuple(examples), dynamic_shapes=tuple(shapes), strict=False
        )


def solve(matrix: Tensor, vector: Tensor, **ignored) -> tuple[Tensor, Tensor]:
    """Do what `torch.linalg.solve_ex` does for (..., n, n) positive definite matrices, n small.

    ONNX knows no such operator. Gauss-Jordan elimination, unrolled; in float64, as it does not
    choose its pivots.
    """
    size = matrix.shape[-1]
    rows = torch.cat([matrix, vector[..., None]], -1).double()
    units = torch.eye(size, dtype=torch.bool, device=matrix.device)[..., None]
    for k in range(size):
        row = rows[..., k : k + 1, :] / rows[..., k : k + 1, k : k + 1]
        rows = torch.where(units[k], row, rows - rows[..., k : k + 1] * row)
    went_well = torch.zeros(matrix.shape[:-2], dtype=torch.int32, device=matrix.device)
    return rows[..., size].to(matrix.dtype), went_well


def write_onnx(
    path: Path, program: torch.export.ExportedProgram, names: list[str], facts: dict, fp16: bool
) -> None:
    """Write a program as one ONNX file.

    Args:
        path: of the file.
        program: of `trace`.
        names: of its inputs, then of its outputs: the last two.
        facts: plain JSON data, kept in the file's metadata under "landmarks".
        fp16: keep large weights in half precision; arithmetic stays float32.

    Raises:
        UserError: if the packages of ONNX are not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise UserError(MISSING) from error
    with _quiet():
        exported = torch.onnx.export(
            program.run_decompositions({torch.ops.aten.linalg_solve_ex.default: solve}),
            dynamo=True,
            opset_version=OPSET,
            input_names=names[:-2],
            output_names=names[-2:],
            verbose=False,
        )
    model = exported.model_proto
    for value in [*model.graph.input, *model.graph.output]:
        _name_sizes(value)
    if fp16:
        _halve(model.graph)
    model.producer_name = "landmarks"
    onnx.helper.set_model_props(model, {"landmarks": json.dumps(facts)})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_program(
    path: Path, program: torch.export.ExportedProgram, names: list[str], facts: dict
) -> None:
    """Write a program as torch's own file (.pt2), which `torch.export.load` opens.

    Its extra file "landmarks" holds the facts, plain JSON data, with its inputs and outputs.
    """
    text = json.dumps({**facts, "inputs": names[:-2], "outputs": names[-2:]})
    with _quiet():
        torch.export.save(program, str(path), extra_files={"landmarks": text})


@contextlib.contextmanager
def _quiet():
    """Keep to itself what the exporters print and warn of."""
    levels = {name: logging.getLogger(name).level for name in TALKERS}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _name_sizes(value: Any) -> None:
    """Call the free sizes of an input or output by what they are."""
    free = iter(["batch", "height", "width"])
    for size in value.type.tensor_type.shape.dim:
        if not size.HasField("dim_value"):
            size.dim_param = next(free)


def _halve(graph: Any) -> None:
    """Keep large weights in half precision, and turn them into float32 where they are used."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for weights in graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.dtype != "float32" or array.size < HALVED:
            continue
        name = weights.name
        array = array.clip(-65504, 65504).astype("float16")
        halved = numpy_helper.from_array(array, f"{name}.half")
        weights.CopyFrom(halved)
        casts.append(
            onnx.helper.make_node("Cast", [halved.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


class Parity(NamedTuple):
    """Differences of points in original pixels, and seconds a face of the model and of the file."""

    median: float
    largest: float
    eager_seconds: float
    file_seconds: float


def compare(
    finder: Finder,
    run: Callable[[np.ndarray, np.ndarray | None], tuple],
    photos: Sequence[np.ndarray],
    boxes: np.ndarray | None,
) -> Parity:
    """Return how a file's points differ from those of the model that it was made from.

    Args:
        finder: the model.
        run: what the file does: photos (N, H, W, 3) RGB and boxes (N, 4) or None -> points and
            certainty.
        photos: (H, W, 3) uint8 BGR, of any sizes.
        boxes: (N, 4) of the faces, if the model looks at boxes.
    """
    faces = gather_faces(list(photos), channels="bgr", boxes=boxes)
    eager_began = time.perf_counter()
    batches = finder.batches(faces, Framing(batch_size=1, workers=0))
    found = np.concatenate([points for _, points, _ in finder.predict(batches)])
    began = time.perf_counter()
    others = []
    for i, photo in enumerate(photos):
        box = None if boxes is None else boxes[i : i + 1]
        others.append(run(np.ascontiguousarray(photo[None, ..., ::-1]), box)[0])
    ended = time.perf_counter()
    known = np.setdiff1d(np.arange(finder.num_points), finder.unlabelled)
    apart = np.linalg.norm((found - np.concatenate(others))[:, known], axis=2)
    count = len(photos)
    seconds = (began - eager_began) / count, (ended - began) / count
    return Parity(float(np.median(apart)), float(apart.max()), *seconds)
