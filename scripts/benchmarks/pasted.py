"""Faces pasted small and anywhere into larger pictures, against their own photos."""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks.clip import side_of
from landmarks.cli.main import main
from landmarks.commands.judging.judged_faces import choose_judged
from landmarks.data.images.decoding import read_image
from landmarks.errors import UserError
from landmarks.inference.open_model import open_finder
from landmarks.synthetic.background import paint_background

AROUND = ("its own edge", "painted", "another photo", "grey", "black")
SCALES = (0.5, 1.2)  # of a photo that is pasted
LARGER = (3, 6)  # times its longer side: the picture's side
BAR = 6  # grey levels: mean of a line of pixels below which it belongs to a photo's black bar
BLUR = 0.02  # of the picture's side: of another photo behind the face
QUALITY = 95  # of the JPEGs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--checkpoint", required=True, help="a run with validation faces")
    parser.add_argument("--faces", type=int, default=200, help="at most (default: %(default)s)")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.08,
        help="of the boxes: standard deviation of each edge, shares of the face "
        "(default: %(default)s)",
    )
    parser.add_argument("--around", choices=AROUND, help="default: each in turn")
    parser.add_argument("--keep", help="folder to keep pictures and predictions in")


def measure(options: argparse.Namespace) -> dict:
    """Return {"own_%", "around": {what: [with looks=1, looks=2]}}: mean errors, and losses in %.

    Errors are mean distances of a face's points over the root of the area of their box. A loss is
    by how much the mean over the faces is larger than that of the photos themselves.
    """
    run = Path(options.checkpoint)
    config = open_finder(run, device="cpu").config
    judged = choose_judged(config, [run], {"root": options.root} if options.root else {}, "val")
    rows = judged.rows[: options.faces]
    faces, truth = judged.faces, np.float64(judged.faces.points[rows])
    with TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        if not folder.is_dir():
            raise UserError(f"--keep {folder}: there is no such folder.")
        photos = [read_image(faces.path(row), exif=faces.exif) for row in rows]
        (folder / "own").mkdir()
        for i, row in enumerate(rows):
            shutil.copy(faces.path(row), folder / "own" / f"{i:04}{Path(faces.name(row)).suffix}")
        own = _errors(_predict(options, folder / "own"), truth).mean()
        print(f"{len(rows)} faces; their own photos: {own:.2%} of the face's side")
        lost = {}
        for around in [options.around] if options.around else AROUND:
            rng = np.random.default_rng(0)
            place = folder / around.replace(" ", "-")
            placed = _paste(photos, truth, around, place, options.noise, rng)
            boxes = f"faces={place}.csv"
            lost[around] = [
                float(_errors(_predict(options, place, boxes, f"looks={looks}"), placed).mean())
                for looks in (1, 2)
            ]
            lost[around] = [round(100 * (error / own - 1), 1) for error in lost[around]]
            print(f"  {around}: {lost[around][0]} % more with looks=1, {lost[around][1]} % with 2")
    return {"own_%": round(100 * own, 3), "around": lost}


def _paste(
    photos: list[np.ndarray],
    truth: np.ndarray,
    around: str,
    place: Path,
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Write pictures into a folder and their boxes into PLACE.csv; return the points (N, K, 2)."""
    place.mkdir()
    placed, lines = [], ["file_name,x0,y0,x1,y1"]
    for i, (photo, points) in enumerate(zip(photos, truth, strict=True)):
        photo, corner = _without_bars(photo)
        size = np.array(photo.shape[1::-1])
        pasted = np.rint(size * rng.uniform(*SCALES)).astype(int)
        side = round(rng.uniform(*LARGER) * pasted.max())
        at = rng.integers(0, side - pasted + 1)
        behind = photos[(i + 1) % len(photos)]
        small = cv2.resize(photo, pasted.tolist(), interpolation=cv2.INTER_AREA)
        picture = _surround(small, at, side, around, behind, rng)
        cv2.imwrite(str(place / f"{i:04}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        points = (points - corner + 0.5) * pasted / size - 0.5 + at
        placed.append(points)
        box = np.concatenate([points.min(0), points.max(0)])
        box += rng.normal(0, noise, 4) * side_of(points)
        lines.append(f"{i:04}.jpg," + ",".join(f"{edge:.1f}" for edge in box))
    place.with_suffix(".csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return np.array(placed)


def _without_bars(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a photo without the black bars at its edges, and where its corner was (2,)."""
    spans = []
    for axis in (1, 0):
        lit = np.flatnonzero(photo.max(2).mean(1 - axis) >= BAR)
        spans.append((lit[0], lit[-1] + 1) if len(lit) else (0, photo.shape[axis]))
    (left, right), (top, bottom) = spans
    return photo[top:bottom, left:right], np.array([left, top])


def _surround(
    photo: np.ndarray,
    at: np.ndarray,
    side: int,
    around: str,
    behind: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a square picture with a photo at x and y, and what `around` names about it."""
    (x, y), (height, width) = at.tolist(), photo.shape[:2]
    if around == "its own edge":  # what is behind the sitter goes on
        edges = (y, side - y - height, x, side - x - width)
        return cv2.copyMakeBorder(photo, *edges, cv2.BORDER_REPLICATE)
    picture = np.full((side, side, 3), 128 if around == "grey" else 0, np.uint8)
    if around == "painted":
        picture = np.ascontiguousarray(paint_background(rng, side, side)[..., ::-1])
    elif around == "another photo":
        picture = cv2.resize(_without_bars(behind)[0], (side, side), interpolation=cv2.INTER_LINEAR)
        picture = cv2.GaussianBlur(picture, (0, 0), BLUR * side)
    picture[y : y + height, x : x + width] = photo
    return picture


def _predict(options: argparse.Namespace, photos: Path, *words: str) -> np.ndarray:
    """Return the points (N, K, 2) that `landmarks predict` finds in a folder's photos."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        named = [f"checkpoint={options.checkpoint}", f"input={photos}", f"run_dir={out}"]
        if main(["predict", *named, "npz=true", *words]):
            raise UserError(f"--checkpoint {options.checkpoint}: predict says why not.")
        with np.load(out / "predictions.npz") as stored:
            return np.float64(stored["points"])


def _errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.nanmean(np.linalg.norm(found - truth, axis=2), axis=1) / side_of(truth)
