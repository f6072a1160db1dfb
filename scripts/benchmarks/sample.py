"""The faces that benchmarks read: some of the user's, or synthetic ones."""

import argparse

from landmarks.data.faces import Faces
from landmarks.data.formats import synthetic, thousand


def add_sample_options(parser: argparse.ArgumentParser, faces: int) -> None:
    """Add --faces."""
    parser.add_argument("--faces", type=int, default=faces, help="how many (default: %(default)s)")


def read_sample(options: argparse.Namespace) -> Faces:
    """Return the first faces of --root, or synthetic ones, drawn once and kept in the cache."""
    if options.root is None:
        return synthetic.read_faces(train=options.faces, test=1)
    return thousand.read_faces(options.root, limit=options.faces, on_error="skip")
