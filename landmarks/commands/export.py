"""`landmarks export`: checkpoints -> one file that finds points without this program."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch

from landmarks.commands.predicting.faces_to_predict import open_faces
from landmarks.commands.predicting.predict_settings import OtherData
from landmarks.data.crops.boxes import have_size
from landmarks.data.images.decoding import read_image
from landmarks.errors import UserError
from landmarks.export.assemble_export import assemble, is_boxed, state_facts
from landmarks.export.exporters import MAX_DIFFERENCE, compare, trace, write_onnx, write_program
from landmarks.export.model_card import card_start, output_name, write_card
from landmarks.files import refuse_foreign, replacing
from landmarks.inference.ensemble import EnsembleName
from landmarks.inference.onnx_model import OnnxModel
from landmarks.inference.open_model import SEVERAL, Sources, list_checkpoints, open_finder
from landmarks.machine import say_bytes
from landmarks.settings import DecoderName, GroupOf, Needs
from landmarks.synthetic.paint_face import draw_face

log = logging.getLogger(__name__)
CHECKED = 32  # faces of the check
SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2"}
STARTS = {"onnx": b"\x08", "torch_export": b"PK"}  # a protobuf whose first field is 1, a zip


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """All that an export is told, of configs/export.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    checkpoint: Sources
    ensemble: Annotated[EnsembleName, SEVERAL]
    format: Literal["onnx", "torch_export"]
    output: str | None
    fp16: Annotated[bool, Needs("format", "onnx")]
    decoder: DecoderName | None
    flip_test: bool | None
    run_dir: str


def export(settings: ExportSettings) -> int:
    """Export a model, check the file and keep it; return the exit code."""
    for path in list_checkpoints(settings.checkpoint):
        if path.suffix.lower() == ".onnx":
            raise UserError(f"{path} is exported already: name a run's folder or a .pt file.")
    finder = open_finder(
        settings.checkpoint,
        ensemble=settings.ensemble,
        threads="auto",
        device="cpu",
        amp="off",
        decoder=settings.decoder,
        flip_test=settings.flip_test,
    )
    module, boxed = assemble(finder).eval(), is_boxed(finder)
    facts = state_facts(finder, settings.fp16)
    path = _choose_path(settings)
    card = path.with_suffix(".md")
    refuse_foreign(path, STARTS[settings.format], f"output={path}")
    refuse_foreign(card, card_start(path.name).encode(), f"{card}, the card of output={path},")
    photos, boxes, where = _photos(finder, settings, boxed)
    names = ["images", *(["boxes"] if boxed else []), "points", output_name(facts)]
    log.info("Exporting takes a minute.")
    program = trace(module, boxed)
    with replacing(path) as part:
        if settings.format == "onnx":
            write_onnx(part, program, names, facts, settings.fp16)
            run = OnnxModel(part, device="cpu", threads=torch.get_num_threads()).run
        else:
            write_program(part, program, names, facts)
            run = _program_runner(part)
        parity = compare(finder, run, photos, boxes)
        if not parity.largest <= MAX_DIFFERENCE:
            raise UserError(
                f"The file's points differ from the model's by {parity.largest:.3f} px at most, on "
                f"{where}; {MAX_DIFFERENCE} px are allowed, so {path} was not kept"
                f"{': leave fp16 out' if settings.fp16 else ': train the model further'}."
            )
    with replacing(card) as part:
        part.write_text(write_card(path.name, facts, parity, where), encoding="utf-8")
    log.info(
        f"Checked on {where}: its points differ from the model's by {parity.median:.4f} px at the "
        f"median and {parity.largest:.4f} px at most; {1000 * parity.file_seconds:.0f} ms a face, "
        f"the model itself {1000 * parity.eager_seconds:.0f} ms."
    )
    log.info(f"{path}, {say_bytes(path.stat().st_size)}, and its card: {card}")
    return 0


def _choose_path(settings: ExportSettings) -> Path:
    suffix = SUFFIXES[settings.format]
    if settings.output is not None:
        path = Path(settings.output)
        path = path / f"model{suffix}" if path.is_dir() else path
        if path.suffix != suffix:
            raise UserError(f"output={path}: a file of format={settings.format} ends in {suffix}.")
        if not path.parent.is_dir():
            raise UserError(f"output={path}: there is no folder {path.parent}; make it first.")
        return path
    checkpoints = list_checkpoints(settings.checkpoint)
    if len(checkpoints) == 1:
        return checkpoints[0].with_suffix(suffix)
    if isinstance(settings.checkpoint, list):
        raise UserError("Where shall the file of several models stand? Set output=FILE.")
    return Path(settings.checkpoint) / f"{settings.ensemble}{suffix}"


def _photos(finder, settings: ExportSettings, boxed: bool) -> tuple[list, np.ndarray | None, str]:
    """Return photos (H, W, 3) BGR, boxes (N, 4) if the model needs them, and what they are."""
    try:
        faces = open_faces(finder, settings.data, None, True)
        count = np.arange(len(faces))
        if boxed and faces.boxes is not None:
            count = count[have_size(faces.boxes)]
        rows = count[np.linspace(0, len(count) - 1, min(CHECKED, len(count))).astype(int)]
        photos = {row: read_image(faces.path(row), exif=faces.exif) for row in rows.tolist()}
        photos = {row: photo for row, photo in photos.items() if photo is not None}
        boxes = faces.boxes[list(photos)] if boxed and faces.boxes is not None else None
        if photos and (boxes is not None or not boxed):
            return list(photos.values()), boxes, f"{len(photos)} faces of {faces.source}"
    except UserError as error:
        log.info(f"The faces that the model was made for are not here ({error})")
    drawn = [draw_face(np.random.default_rng(seed)) for seed in range(CHECKED)]
    edges = [np.hstack([points.min(0), points.max(0)]) for _, points in drawn]
    photos = [np.ascontiguousarray(image[..., ::-1]) for image, _ in drawn]
    return photos, np.float32(edges) if boxed else None, f"{CHECKED} synthetic faces"


def _program_runner(path: Path):
    program = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def run(images: np.ndarray, boxes: np.ndarray | None) -> tuple:
        given = [torch.from_numpy(images)]
        if boxes is not None:
            given.append(torch.from_numpy(np.float32(boxes)))
        return tuple(found.numpy() for found in program(*given))

    return run
