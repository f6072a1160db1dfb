"""Faults that `landmarks check` finds among those planted, and what else it calls an error."""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.planting import PLANTED, REASONS, WARNINGS, plant
from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.data.formats.thousand import find_root, read_faces
from landmarks.errors import UserError
from landmarks.health.inspect_data import inspect
from landmarks.shapes.symmetry import find_symmetry
from landmarks.synthetic.write_faces import write_faces


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--draws", type=int, default=3, help="copies (default: %(default)s)")
    parser.add_argument("--points", help="only these, such as 36,45,30,48,54 (default: all)")
    parser.add_argument(
        "--noise", type=float, default=0.04, help="of jitter, in face sizes (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--faces", type=int, default=600, help="of made-up data (default: %(default)s)"
    )


def measure(options: argparse.Namespace) -> dict:
    """Return {"draws": [{"found": {kind: [as errors, as warnings, not]}, ...}]}."""
    with tempfile.TemporaryDirectory(prefix="landmarks-benchmark-") as folder:
        root = Path(folder) / "made-up"
        if options.root is None:
            write_faces(root, options.faces, 1, 0)
        else:
            root = find_root(Path(options.root))
        draws = []
        for draw in range(options.draws):
            rng = np.random.default_rng([options.seed, draw])
            draws.append(_draw(root, Path(folder) / str(draw), options, rng))
            said = ", ".join(
                f"{kind} {a} of {a + b + c}" + f" ({b} as warnings)" * (b > 0)
                for kind, (a, b, c) in draws[-1]["found"].items()
            )
            others = len(draws[-1]["others"])
            print(
                f"{said}; others called errors: {others} of {draws[-1]['faces']} "
                f"({others / draws[-1]['faces']:.2%}); {draws[-1]['seconds']:.1f} s"
            )
    return {"draws": draws}


def _draw(root: Path, folder: Path, options: argparse.Namespace, rng: np.random.Generator) -> dict:
    cache = str(folder / "cache")
    faces = read_faces(str(root), cache_dir=cache)
    layout = choose_layout({"name": "auto"}, faces.num_points)
    flip = find_symmetry(faces.points, known=layout.flip_permutation()).flip
    points, kept = np.asarray(faces.points), np.arange(faces.num_points)
    if options.points:
        kept = _pick(options.points, faces.num_points)
        place = {k: i for i, k in enumerate(kept.tolist())}
        if flip is not None:
            partners = [place.get(k) for k in flip[kept].tolist()]
            flip = None if None in partners else np.array(partners)
    names = [faces.name(row) for row in range(len(faces))]
    source = root / "train/images"
    planted = plant(source, folder, names, points[:, kept], flip, options.noise, rng)
    faulty = read_faces(str(folder), cache_dir=cache, on_error="skip")
    regions = layout.regions if len(kept) == faces.num_points else {}
    start = time.perf_counter()
    health = inspect(faulty, np.arange(len(faulty)), None, regions, os.cpu_count() or 1)
    seconds = time.perf_counter() - start
    called: dict[str, set] = {}
    errors = set()
    for finding in health.findings:
        called.setdefault(finding.name, set()).add(finding.reason)
        if finding.level == "error":
            errors.add(finding.name)
    found = {kind: [0, 0, 0] for kind in PLANTED if kind in planted.values()}
    missed = {}
    for name, kind in planted.items():
        reasons = called.get(name, set())
        place = 0 if reasons & REASONS[kind] else 1 if reasons & WARNINGS else 2
        found[kind][place] += 1
        if place:
            missed[name] = kind
    others = {name: sorted(called[name]) for name in sorted(errors - set(planted))}
    return {
        "faces": len(names) - len(planted),
        "found": found,
        "missed": missed,
        "others": others,
        "seconds": round(seconds, 2),
    }


def _pick(listed: str, num_points: int) -> np.ndarray:
    try:
        kept = np.array([int(word) for word in listed.split(",")])
    except ValueError:
        raise UserError(f"--points {listed}: give whole numbers with commas between.") from None
    if len(kept) < 3 or kept.min() < 0 or kept.max() >= num_points:
        raise UserError(f"--points {listed}: give 3 or more of 0 to {num_points - 1}.")
    return kept
