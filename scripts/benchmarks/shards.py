"""Batches from shards, in a folder and on a local web server, against the same from plain files."""

import argparse
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from benchmarks.sample import add_sample_options, read_sample
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches
from landmarks.data.faces import Faces
from landmarks.data.formats.shards import read_faces
from landmarks.data.shards.write_shards import write_pack

SIZE = 128
SHARD_BYTES = 4_000_000
NEAR = 20  # rows: a person's faces often lie so near one another


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_sample_options(parser, faces=500)
    add_rounds(parser, 5)
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--shard-bytes", type=int, default=SHARD_BYTES, help="default: %(default)s")


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no line about each."""

    def log_message(self, form: str, *words: object) -> None:
        pass


def measure(options: argparse.Namespace) -> dict:
    """Return {"folder_ratio", "fetched_ratio", "room_ratio", "near_pairs"}.

    Ratios are the time of plain files over that of shards: in a folder, on a server (all shards
    fetched anew) and in the room that they were fetched to. Of near pairs: how many times as often
    as by a shuffle of all two faces of a batch lie within 20 rows of one another.
    """
    faces = read_sample(options)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_pack({"train": faces}, Path(folder, "pack"), options.shard_bytes)
        with serve(Path(folder, "pack")) as address:
            kept = {"cache_dir": folder}
            packed = read_faces(f"{folder}/pack", **kept)
            stored = read_faces(address, **kept)
            count, shards = len(packed), len(packed.packed.shards)
            print(f"{count} faces in {shards} shards at {SIZE} pixels, no worker process:")
            ways: dict[str, Callable] = {
                "plain files": partial(read_all, faces, options),
                "folder of shards": partial(read_all, packed, options),
                "web server, fetched": partial(fetch_all, stored, options),
                "web server, in the room": partial(read_all, stored, options),
            }
            take_turns(ways, 1)
            seconds = take_turns(ways, options.rounds)
    for name, spent in seconds.items():
        say_seconds(f"{name}, {count / median(spent):.0f} faces/s", spent)
    plain, *others = seconds.values()
    folder_ratio, fetched, room = (round(median_ratio(plain, other), 2) for other in others)
    near = near_pairs(packed, options) / near_pairs(faces, options)
    print(f"  pairs of near faces in a batch: {near:.2f} times those of a shuffle of all")
    return {
        "folder_ratio": folder_ratio,
        "fetched_ratio": fetched,
        "room_ratio": room,
        "near_pairs": round(near, 2),
    }


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder at the address that is yielded."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def batches_of(faces: Faces, options: argparse.Namespace) -> Batches:
    """Return shuffled batches of the usable faces."""
    size = min(options.batch_size, len(faces.usable))
    return Batches(CroppedFaces(faces, "letterbox", SIZE), faces.usable, batch_size=size, seed=0)


def read_all(faces: Faces, options: argparse.Namespace) -> int:
    """Read an epoch."""
    return sum(len(batch.images) for batch in batches_of(faces, options))


def fetch_all(faces: Faces, options: argparse.Namespace) -> int:
    """Read an epoch whose shards are not here yet."""
    for shard in faces.packed.room.folder.glob("*.tar"):
        shard.unlink()
    return read_all(faces, options)


def near_pairs(faces: Faces, options: argparse.Namespace) -> float:
    """Return the pairs of near faces in the batches of five epochs."""
    order = batches_of(faces, options).order
    rows = np.stack([batch for epoch in range(5) for batch in order.batch_rows(epoch)])
    away = np.abs(rows[:, :, None] - rows[:, None])
    return ((away < NEAR).sum() - rows.size) / 2
