"""suspects.png, the worst faces under their reasons; labels.png, faces with numbered points."""

from collections import deque
from pathlib import Path

import cv2
import numpy as np

from landmarks.data.crops.boxes import have_size, point_boxes
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.geometry import box_matrix, transform
from landmarks.health.suspects import Finding, worst_first
from landmarks.outputs.pictures import SHIFT, arrange, draw_face, save_picture

MAX_SUSPECTS = 16
TITLE = 26  # pixels of black above a face
TILE = 640  # pixels a face
MARGIN = 0.2  # about the points' box, share of its larger side
MAX_LABELLED = 6
COLUMNS = 3
MAX_NUMBERED = 80  # points of a face with a number or name; of more, every second, third, ...
MAX_NAMED = 30  # points that are named, not numbered
SIDES = {-1: (255, 160, 40), 0: (90, 220, 90), 1: (40, 130, 255)}  # BGR: blue, green, orange
ALONE = (60, 230, 230)  # yellow: it is not known which points are whose mirror images
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
LEGEND = "image-left blue, image-right orange, midline green; hollow: occluded"
NO_PAIRS = "left and right are not known; hollow: occluded"


def save_suspects(path: Path, parts: dict[str, Faces], findings: list[Finding]) -> int:
    """Write at most `MAX_SUSPECTS` suspects as a grid; return how many.

    Reasons take turns, so that one common fault does not fill the picture. Where no image can be
    read, nothing is written.
    """
    waiting: dict[str, deque] = {}
    for finding in worst_first(findings):
        if finding.reason not in ("missing", "corrupt"):
            waiting.setdefault(finding.reason, deque()).append(finding)
    tiles, turns = [], deque(waiting.values())
    while turns and len(tiles) < MAX_SUSPECTS:
        queue = turns.popleft()
        finding = queue.popleft()
        if queue:
            turns.append(queue)
        faces = parts[finding.part]
        image = read_image(faces.path(finding.row), exif=faces.exif)
        if image is None:
            continue
        points = None if faces.points is None else faces.points[finding.row]
        tile = draw_face(image, points, None)
        tile = cv2.copyMakeBorder(tile, TITLE, 0, 0, 0, cv2.BORDER_CONSTANT)
        title = f"{finding.reason} {finding.score:.1f}  {finding.name[-22:]}"
        place, font = (6, TITLE - 8), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(tile, title, place, font, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    if tiles:
        save_picture(path, arrange(tiles))
    return len(tiles)


def save_labelled(
    path: Path, faces: Faces, rows: np.ndarray, flip: np.ndarray | None, names: list[str]
) -> int:
    """Write some faces about their points as a grid, PNG; return how many.

    Args:
        rows: (n,) the faces to choose from.
        flip: (K,) the flip permutation, by which points are of a side; None: of neither.
        names: of the K points; numbers, where they have none.
    """
    some = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_LABELLED).astype(int))]
    colours = colour_points(np.asarray(faces.points[some]), flip)
    tiles = []
    for row in some.tolist():
        image = read_image(faces.path(row), exif=faces.exif)
        box = point_boxes(faces.points[row : row + 1])
        if image is None or not have_size(box)[0]:
            continue
        seen = None if faces.visible is None else faces.visible[row]
        tile = _draw(image, faces.points[row], box[0], colours, seen)
        _write_names(tile[0], tile[1], names)
        _write(tile[0], (8, TILE - 10), faces.name(row)[-60:])
        tiles.append(tile[0])
    if tiles:
        _write(tiles[0], (8, 16), NO_PAIRS if flip is None else LEGEND)
        save_picture(path, arrange(tiles, COLUMNS))
    return len(tiles)


def colour_points(points: np.ndarray, flip: np.ndarray | None) -> list[tuple[int, int, int]]:
    """Return K colours (BGR) of points (n, K, 2): of a pair, who lies left in most images, and
    right."""
    if flip is None:
        return [ALONE] * points.shape[1]
    across = points[:, :, 0] - points[:, flip, 0]
    side = np.sign(np.nan_to_num(np.sign(across)).sum(axis=0))
    return [SIDES[0] if k == flip[k] else SIDES[int(side[k])] for k in range(len(flip))]


def _draw(image, points, box, colours, seen) -> tuple[np.ndarray, np.ndarray]:
    """Return a tile (TILE, TILE, 3) with the points, and where these are in it, (K, 2)."""
    matrix = box_matrix(box, MARGIN, TILE)
    tile = cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_LINEAR)
    tile = (0.6 * tile).round().astype(np.uint8)  # so that numbers can be read on it
    moved = transform(matrix, np.asarray(points, np.float64))
    radius = 1.5 if len(moved) > MAX_NUMBERED else 3.5
    for k in np.flatnonzero(np.isfinite(moved).all(1)):
        centre = tuple(np.rint(moved[k] * 2**SHIFT).astype(int).tolist())
        width = 1 if seen is not None and seen[k] == 1 else -1
        drawn = round(radius * 2**SHIFT)
        cv2.circle(tile, centre, drawn, colours[k], width, cv2.LINE_AA, SHIFT)
    return tile, moved


def _write_names(tile: np.ndarray, places: np.ndarray, names: list[str]) -> None:
    step = -(-len(places) // MAX_NUMBERED)
    for k in range(0, len(places), step):
        if np.isfinite(places[k]).all():
            x, y = np.rint(places[k]).astype(int).tolist()
            text = names[k] if len(places) <= MAX_NAMED else str(k)
            _write(tile, (x + 4, y - 4), text)


def _write(tile: np.ndarray, place: tuple[int, int], text: str) -> None:
    text = text.encode("ascii", "replace").decode()  # OpenCV's letters
    cv2.putText(tile, text, (place[0] + 1, place[1] + 1), FONT, SIZE, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(tile, text, place, FONT, SIZE, (255, 255, 255), 1, cv2.LINE_AA)
