"""A drawn face moves through a clip: how it is followed, what jitters, what lags behind."""

import argparse
import csv
import time
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from omegaconf import OmegaConf

from landmarks.cli.main import main
from landmarks.errors import UserError
from landmarks.inference.follow_face import OneEuro
from landmarks.synthetic.background import paint_background
from landmarks.synthetic.contours import NUM_POINTS
from landmarks.synthetic.paint_face import draw_face

WIDTH, HEIGHT, RATE = 640, 480, 25
SIDE = 240  # pixels of the portrait's longer side in the clip
HIDDEN = (0.45, 0.55)  # shares of the clip between which there is no face
NOISE = 8.0  # levels, standard deviation, of each frame's pixels
SPEED = 0.25  # sides of the face a second from which a frame counts as moving


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--checkpoint", required=True, help="a run with the 971 drawn points")
    parser.add_argument("--frames", type=int, default=250, help="of each clip (%(default)s)")
    parser.add_argument("--faces", type=int, default=3, help="clips (default: %(default)s)")
    parser.add_argument("--keep", help="folder to keep clips and predictions in")


def measure(options: argparse.Namespace) -> dict:
    """Return the error a frame, losses, the jitter of a face at rest and the lag of a moving one.

    Errors are mean distances over the root of the area of the points' box, in percent; jitter is
    the standard deviation of a point in percent of it; lag is in milliseconds.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(options.keep or scratch)
        if not folder.is_dir():
            raise UserError(f"--keep {folder}: there is no such folder.")
        moving = [_measure_moving(options, folder, seed) for seed in range(options.faces)]
        resting = [_measure_resting(options, folder, seed) for seed in range(options.faces)]
    result = {key: round(float(np.mean([m[key] for m in moving])), 3) for key in moving[0]}
    result |= {key: round(float(np.mean([m[key] for m in resting])), 3) for key in resting[0]}
    for name, value in result.items():
        print(f"  {name}: {value}")
    return result


def write_clip(path: Path, seed: int, count: int, moves: bool) -> tuple[np.ndarray, np.ndarray]:
    """Write a clip of a drawn face; return its points (N, 971, 2) and whether it shows it (N,)."""
    rng = np.random.default_rng(seed)
    portrait, points = draw_face(rng)
    portrait = np.ascontiguousarray(portrait[..., ::-1])
    back = np.ascontiguousarray(paint_background(rng, HEIGHT, WIDTH)[..., ::-1])
    height, width = portrait.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    truth, shown = [], []
    for i in range(count):
        matrix = _place(i / RATE if moves else 0.0, width, height)
        truth.append(points @ matrix[:, :2].T + matrix[:, 2])
        shown.append(not (moves and HIDDEN[0] <= i / count < HIDDEN[1]))
        picture = back.astype(np.float32)
        if shown[-1]:  # what is behind the sitter goes on to the frame's edges
            flags = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
            picture = cv2.warpAffine(portrait, matrix, (WIDTH, HEIGHT), **flags).astype(np.float32)
        picture += rng.normal(0, NOISE, picture.shape)
        writer.write(picture.clip(0, 255).astype(np.uint8))
    writer.release()
    return np.float32(truth), np.array(shown)


def _place(seconds: float, width: int, height: int) -> np.ndarray:
    """Return the matrix (2, 3) from the portrait to the frame at a time."""
    scale = SIDE / max(width, height) * (1 + 0.25 * np.sin(0.9 * seconds))
    turn = np.radians(12) * np.sin(1.7 * seconds)
    x = WIDTH / 2 + 150 * np.sin(1.1 * seconds)
    y = HEIGHT / 2 + 70 * np.sin(1.6 * seconds + 0.5)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.hstack([linear, (np.array([x, y]) - linear @ middle)[:, None]])


def _predict(options: argparse.Namespace, clip: Path) -> tuple[np.ndarray, list[str]]:
    out = clip.with_name(f"{clip.stem}-points")
    words = [f"checkpoint={options.checkpoint}", f"input={clip}", f"run_dir={out}", "npz=true"]
    if main(["predict", *words]):
        raise UserError(f"--checkpoint {options.checkpoint}: predict says why not.")
    with (out / "predictions.csv").open(encoding="utf-8") as file:
        states = [row[2] for row in csv.reader(file)][1:]
    with np.load(out / "predictions.npz") as stored:
        if stored["points"].shape[1] != NUM_POINTS:
            raise UserError(f"--checkpoint {options.checkpoint} does not find the drawn points.")
        return stored["points"], states


def side_of(points: np.ndarray) -> np.ndarray:
    """Return the root of the area of the box of points (..., K, 2)."""
    return np.sqrt(np.ptp(points, axis=-2).prod(-1))


def _measure_moving(options: argparse.Namespace, folder: Path, seed: int) -> dict:
    clip = folder / f"moving-{seed}.mp4"
    truth, shown = write_clip(clip, seed, options.frames, True)
    began = time.perf_counter()
    found, states = _predict(options, clip)
    seconds = time.perf_counter() - began
    smooth = _smooth(found)
    seen = np.array([state in ("found", "followed") for state in states])
    both = seen & shown
    errors = 100 * np.linalg.norm(found - truth, axis=2).mean(1) / side_of(truth)
    smoothed = 100 * np.linalg.norm(smooth - truth, axis=2).mean(1) / side_of(truth)
    lag, speed = _lag(found, smooth, truth, both)
    return {
        "error_%": np.median(errors[both]),
        "worst_error_%": errors[both].max(),
        "smoothed_error_%": np.median(smoothed[both]),
        "shown_frames_missed": (shown & ~seen).sum(),
        "empty_frames_with_face": (seen & ~shown).sum(),
        "times_searched_and_found": states.count("found"),
        "lag_ms": 1000 * lag,
        "speed_sides_a_second": speed,
        "frames_a_second": options.frames / seconds,
    }


def _lag(found: np.ndarray, smooth: np.ndarray, truth: np.ndarray, both: np.ndarray) -> tuple:
    """Return how many seconds smoothed points are behind, where the face moves, and its speed."""
    middles = truth.mean(1)
    velocity = np.gradient(middles, 1 / RATE, axis=0)
    speed = np.linalg.norm(velocity, axis=1) / side_of(truth)
    moving = both & (speed > SPEED)
    behind = (found - smooth).mean(1)
    lag = (behind * velocity).sum(1) / np.square(velocity).sum(1)
    return float(np.median(lag[moving])), float(np.median(speed[moving]))


def _measure_resting(options: argparse.Namespace, folder: Path, seed: int) -> dict:
    clip = folder / f"resting-{seed}.mp4"
    truth, _ = write_clip(clip, seed, min(options.frames, 150), False)
    found, _ = _predict(options, clip)
    ways = {"jitter_%": found, "smoothed_jitter_%": _smooth(found)}
    spread = {name: np.nanstd(points[RATE:], axis=0) for name, points in ways.items()}
    return {
        name: 100 * np.linalg.norm(each, axis=-1).mean() / side_of(truth[0])
        for name, each in spread.items()
    }


def _smooth(found: np.ndarray) -> np.ndarray:
    """Return what smooth=one_euro makes of points (N, K, 2), NaN where there is no face."""
    config = OmegaConf.create(
        files("landmarks.configs").joinpath("predict.yaml").read_text("utf-8")
    )
    smoother, smooth = (
        OneEuro(config.smooth_cutoff, config.smooth_beta),
        np.full_like(found, np.nan),
    )
    for i, points in enumerate(found):
        if np.isnan(points).any():
            smoother.forget()
        else:
            smooth[i] = smoother.smooth(points, i / RATE, float(side_of(points)))
    return smooth
