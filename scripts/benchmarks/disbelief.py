"""Wrong labels among the first that a model disbelieves, planted where it has not been trained."""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.planting import spoil
from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.data.formats.thousand import find_root, read_faces
from landmarks.errors import UserError
from landmarks.evaluation.read_predictions import match_faces, read_predictions
from landmarks.health.disbelieved_labels import disbelief_findings, measure_disbelief

KINDS = ("shifted", "jittered", "swapped")
FIRST = 0.02  # share of the list that is looked at


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument(
        "--predictions", help="of `landmarks evaluate`, of faces that no model was trained on"
    )
    parser.add_argument("--draws", type=int, default=30, help="default: %(default)s")
    parser.add_argument(
        "--faults", type=int, default=7, help="in each draw, of all kinds (default: %(default)s)"
    )
    parser.add_argument(
        "--noise", type=float, default=0.04, help="of jitter, in face sizes (default: %(default)s)"
    )


def measure(options: argparse.Namespace) -> dict:
    """Return {"faces", "first", "found": {kind: [among the first, planted, rightly called]}}."""
    if options.root is None or options.predictions is None:
        raise UserError("disbelief needs --root FOLDER and --predictions FILE of its faces.")
    with tempfile.TemporaryDirectory(prefix="landmarks-benchmark-") as folder:
        faces = read_faces(str(find_root(Path(options.root))), cache_dir=folder)
        path = Path(options.predictions)
        stored = read_predictions(path, Path(folder) / "points.f32")
        rows, at = match_faces(stored, faces, path)
        truth = np.array(faces.points[rows], np.float64)
        predicted = np.array(stored.points[at])
    flip = choose_layout({"name": "auto"}, truth.shape[1]).flip_permutation()
    kinds = KINDS if flip is not None else KINDS[:2]
    found = {kind: [0, 0, 0] for kind in kinds}
    first = -(-len(rows) * FIRST // 1)
    for draw in range(options.draws):
        rng = np.random.default_rng(draw)
        bad = rng.permutation(len(truth))[: options.faults].tolist()
        planted = {row: kinds[i % len(kinds)] for i, row in enumerate(bad)}
        labels = truth.copy()
        for row, kind in planted.items():
            size = np.sqrt(np.ptp(truth[row], axis=0).prod())
            labels[row] = np.rint(spoil(kind, truth[row], size, flip, options.noise, rng))
        told = measure_disbelief(predicted, labels, flip)
        listed = np.argsort(-np.nan_to_num(told.score, nan=-1), kind="stable")[: int(first)]
        names = [str(row) for row in range(len(truth))]
        reasons = {
            each.row: each.reason for each in disbelief_findings(names, np.arange(len(truth)), told)
        }
        for row, kind in planted.items():
            is_right = reasons.get(row) == f"model-{kind}"
            found[kind] = [
                a + b for a, b in zip(found[kind], (row in listed, 1, is_right), strict=True)
            ]
    for kind, (a, b, c) in found.items():
        print(f"{kind}: {a} of {b} among the first {first:.0f} of {len(truth)}, {c} rightly called")
    return {"faces": len(truth), "first": int(first), "found": found}
