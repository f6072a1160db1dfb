"""`landmarks show`: faces with their points, on a page of this machine or on contact sheets."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from landmarks.commands.evaluate import OF_A_FILE
from landmarks.commands.judging.judge import Sharing, judge_file
from landmarks.commands.judging.judge_checkpoint import judge_checkpoint
from landmarks.commands.judging.judged_faces import SplitName, open_labelled, take
from landmarks.commands.predicting.model_pictures import LargestHeatmap, has_heatmaps
from landmarks.commands.predicting.predict_settings import OtherData
from landmarks.commands.preparing.choose_layout import settle_layout
from landmarks.commands.preparing.shared_settings import OutputFolder
from landmarks.data.check_labels import find_labelled
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.data.tables.table_rows import read_column
from landmarks.errors import say_count
from landmarks.evaluation.write_evaluation import Judgement
from landmarks.inference.finder_protocol import Finder, Framing
from landmarks.inference.open_model import Sources
from landmarks.inference.predictor import Predictor
from landmarks.layout import Layout
from landmarks.outputs.pictures import arrange, draw_face, save_picture
from landmarks.settings import Count, DeviceName, GroupOf, Needs, PositiveInt, Rule, Workers
from landmarks.viewer.album import Album
from landmarks.viewer.server import make_app

log = logging.getLogger(__name__)
SHEET, COLUMNS = 48, 8  # faces of a contact sheet
BLOCK = 10  # neighbouring rows that are taken together
Port = Annotated[int, Rule(lambda v: 0 <= v < 65536, "a whole number from 0 to 65535")]


@dataclass(frozen=True, kw_only=True)
class ShowSettings(OutputFolder):
    """All that the viewer is told, of configs/show.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    layout: Annotated[dict, GroupOf(Layout), OF_A_FILE]
    checkpoint: Sources
    predictions: str | None
    split: SplitName | None
    suspects: str | None
    exclude: Annotated[str, Needs("png", False)]
    png: bool
    sheets: Annotated[PositiveInt, Needs("png", True)]
    port: Annotated[Port, Needs("png", False)]
    device: DeviceName
    workers: Workers


class Shown(NamedTuple):
    """N faces to show: predicted (M, K, 2), where there is a model, `at` (N,) in it."""

    faces: Faces
    predicted: np.ndarray | None
    at: np.ndarray | None
    columns: dict[str, np.ndarray]
    regions: dict
    heatmap: LargestHeatmap | None = None


def show(settings: ShowSettings) -> int:
    """Show faces; return the exit code when the server is stopped."""
    out = settings.make_folder()
    shown = _open(settings, out)
    columns = dict(shown.columns)
    if settings.suspects is not None:
        path, names = Path(settings.suspects), shown.faces.names
        texts = read_column(path, "score", names, "suspects", "suspects")
        columns = {"suspicion": np.array([float(t) if t else np.nan for t in texts]), **columns}
    if settings.png:
        write_sheets(out, shown, columns, settings.sheets)
        return 0
    album = Album(
        shown.faces,
        shown.predicted,
        shown.at,
        columns,
        shown.regions,
        Path(settings.exclude),
        shown.heatmap,
    )
    serve(album, settings.port)
    return 0


def serve(album: Album, port: int) -> None:
    """Serve an album's page until Ctrl-C."""
    app = make_app(album)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server("127.0.0.1", port, app, threaded=True)
    log.info(f"{len(album)} faces: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
    server.serve_forever()


def _open(settings: ShowSettings, out: Path) -> Shown:
    sharing = Sharing(None, None, BLOCK, [])
    is_named = "_target_" in settings.data
    if settings.predictions is not None:
        faces = open_labelled(settings.data, settings.split)
        layout = _settle(settings, faces)
        path = Path(settings.predictions)
        return _of_judgement(judge_file(path, faces, "all", layout, out, sharing))
    if is_named and settings.checkpoint is None:
        faces = open_labelled(settings.data, settings.split)
        regions = _settle(settings, faces).regions if faces.points is not None else {}
        return Shown(take(faces, faces.usable), None, None, {}, regions)
    framing = Framing(on_error=settings.data["on_error"], workers=settings.workers)
    judgement, finder = judge_checkpoint(
        settings.checkpoint,
        settings.data,
        settings.split,
        out,
        framing,
        sharing,
        threads="auto",
        device=settings.device,
    )
    return _of_judgement(judgement)._replace(heatmap=_heatmap_of(finder, judgement.faces))


def _heatmap_of(finder: Finder | None, faces: Faces) -> LargestHeatmap | None:
    """Return what finds heatmaps of the faces, where the model, or the first of several, has some.

    Of several that are held one at a time there is none, nor of a k-fold's own predictions.
    """
    first = next(iter(getattr(finder, "members", [])), finder)
    if isinstance(first, Predictor) and has_heatmaps(first.model):
        return LargestHeatmap(first, faces)
    return None


def _settle(settings: ShowSettings, faces: Faces) -> Layout:
    rows = faces.usable
    labelled = find_labelled(faces.points, rows)
    return settle_layout(settings.layout, faces, rows, labelled)


def _of_judgement(judgement: Judgement) -> Shown:
    errors = judgement.errors
    columns = {"mse": errors.squared, "nme": errors.nme}
    if errors.confidence is not None:
        known = np.isfinite(errors.confidence)
        total = np.where(known, errors.confidence, 0).sum(1)
        columns["confidence"] = np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)
    regions = judgement.layout.regions
    return Shown(judgement.faces, judgement.predicted, judgement.at, columns, regions)


def write_sheets(
    out: Path, shown: Shown, columns: dict[str, np.ndarray], count: Count
) -> list[Path]:
    """Write contact sheets of faces, the highest of the first column first, else in file order."""
    faces, order = shown.faces, np.arange(len(shown.faces))
    if columns:
        values = next(iter(columns.values()))
        order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    written = []
    for sheet in range(min(count, -(-len(order) // SHEET))):
        tiles = []
        for row in order[sheet * SHEET : (sheet + 1) * SHEET].tolist():
            image = read_image(faces.path(row), exif=faces.exif)
            if image is None:
                continue
            truth = None if faces.points is None else np.array(faces.points[row])
            found = None if shown.predicted is None else np.array(shown.predicted[shown.at[row]])
            tiles.append(draw_face(image, truth, found))
        if tiles:
            path = out / f"sheet-{sheet + 1}.jpg"
            save_picture(path, arrange(tiles, COLUMNS))
            written.append(path)
    log.info(f"{say_count(len(written), 'contact sheet')}: {out}")
    return written
