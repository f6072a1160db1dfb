"""Pictures: faces with their points, heatmaps over them, and training curves."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from landmarks.files import replacing
from landmarks.geometry import MAX_SIDE, compose, crop_matrix, scale_matrix, transform

log = logging.getLogger(__name__)
TILE = 320  # pixels a face in a picture; about as many with heatmaps
TRUTH, PREDICTED = (80, 220, 60), (60, 60, 255)  # BGR: green, red
TEXT = (255, 255, 255)
SHIFT = 4  # fractional bits of OpenCV's coordinates: points are drawn where they are

_said: set[Path] = set()  # folders whose pictures have failed


@contextmanager
def drawing(folder: Path) -> Iterator[None]:
    """Draw a folder's pictures in this context: what fails there is said once, and ends nothing."""
    try:
        yield
    except Exception as error:
        # A picture is a service. It can fail at a disk, a file that has gone, memory, matplotlib.
        log.debug("A picture failed.", exc_info=True)
        if folder not in _said:
            _said.add(folder)
            why = " ".join(str(error).split()) or type(error).__name__
            log.warning(f"A picture could not be made; the run goes on without it: {why}")


def draw_face(image: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray | None):
    """Return a (TILE, TILE, 3) BGR picture of a face with its true and predicted points.

    Args:
        image: (H, W, 3) uint8 BGR.
        truth, predicted: (K, 2) in the image's pixels, NaN or None where there are none.
    """
    height, width = image.shape[:2]
    matrix = crop_matrix("letterbox", width, height, TILE)
    to_tile = matrix
    if max(height, width) > MAX_SIDE:
        small = [max(1, side * MAX_SIDE // max(height, width)) for side in (width, height)]
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        to_tile = compose(matrix, scale_matrix(width / small[0], height / small[1]))
    tile = cv2.warpAffine(image, to_tile, (TILE, TILE), flags=cv2.INTER_LINEAR)
    for points, colour in ((truth, TRUTH), (predicted, PREDICTED)):
        if points is None:
            continue
        moved = transform(matrix, points)
        radius = 0.7 if len(points) > 200 else 2.0
        for x, y in moved[np.isfinite(moved).all(1)].clip(-TILE, 2 * TILE):
            centre = (round(x * 2**SHIFT), round(y * 2**SHIFT))
            cv2.circle(tile, centre, round(radius * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)
    return tile


def draw_heatmaps(image: np.ndarray, maps: dict[str, np.ndarray]) -> np.ndarray:
    """Return a (T, n T, 3) BGR strip: a model's input n times, each with a map over it.

    T is a multiple of S near TILE. A cell shows as it is, over the pixels that it covers: 0 as the
    darkened input, 1 as pale yellow, on the same scale in every picture.

    Args:
        image: (S, S, 3) uint8 BGR.
        maps: heading -> (H, W), clipped to 0..1; NaN is taken as 0.
    """
    side = len(image) * max(1, round(TILE / len(image)))
    ground = 0.5 * cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    tiles = []
    for heading, values in maps.items():
        values = np.nan_to_num(values.astype(np.float32), nan=0.0).clip(0, 1)
        share = cv2.resize(values, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
        colour = cv2.applyColorMap((255 * share).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
        share = share[:, :, None]
        tile = ((1 - share) * ground + share * colour).round().astype(np.uint8)
        cv2.putText(tile, heading, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT, 1, cv2.LINE_AA)
        tiles.append(tile)
    return np.hstack(tiles)


def arrange(tiles: list[np.ndarray], columns: int = 4) -> np.ndarray:
    """Return tiles of one size as a grid, row by row."""
    blank = np.zeros_like(tiles[0])
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = min(columns, len(tiles))
    return np.vstack([np.hstack(row + [blank] * (width - len(row))) for row in rows])


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 BGR, PNG or JPEG by the path's ending."""
    done, coded = cv2.imencode(path.suffix, picture)
    if not done:
        raise ValueError(f"OpenCV cannot write {path}.")
    with replacing(path) as part:
        part.write_bytes(coded.tobytes())  # cv2.imwrite says nothing of a disk that is full


def save_curves(path: Path, history: list[dict]) -> None:
    """Write training loss and validation errors over epochs as a PNG."""
    save_histories(path, {"": history})


def save_histories(path: Path, histories: dict[str, list[dict]]) -> None:
    """Write training losses and validation errors over epochs of runs, by name, as a PNG."""
    # Not pyplot: it would look for a display and keep every figure alive. Nor a notebook's
    # backend, which may not be there: a name that matplotlib does not know fails its import.
    named = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter, MaxNLocator
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named

    class PlainNumbers(LogFormatter):
        """0.05, not 5e-02, for the ticks that have a label."""

        def __call__(self, value: float, position: int | None = None) -> str:
            return f"{value:.5g}" if super().__call__(value, position) else ""

    figure = Figure(figsize=(12, 3.6))  # a layout that measures its texts would take twice as long
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.14, top=0.9, wspace=0.22)
    FigureCanvasAgg(figure)
    losses = ("train_loss", "training loss")
    errors = ("val_mse", "validation MSE, px²"), ("val_nme", "validation NME")
    for axis, (key, title) in zip(figure.subplots(1, 3), (losses, *errors), strict=True):
        for name, history in histories.items():
            epochs = [row["epoch"] for row in history]
            marker = "." if len(epochs) < 60 else ""
            axis.plot(epochs, [row.get(key) for row in history], marker=marker, label=name)
        axis.set(title=title, xlabel="epoch", yscale="log")
        axis.yaxis.set_major_formatter(PlainNumbers())
        axis.yaxis.set_minor_formatter(PlainNumbers())
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.grid(alpha=0.3, which="both")
        if len(histories) > 1:
            axis.legend(fontsize="small")
    with replacing(path) as part:
        figure.savefig(part, dpi=100)
