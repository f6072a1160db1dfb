"""What one of two processes does in test_two_predicting.py; it is started with RANK set.

It works where it is and writes into the folder `two` what `do_all` leaves, as one process does
elsewhere.
Each job has a port of its own: what was told in one is not heard in the next.
"""

import json
import os
import signal
from pathlib import Path

import numpy as np
from made_runs import build_narrow

from landmarks.cli import main as cli
from landmarks.commands.predicting import predict_faces
from landmarks.distributed import collectives, processes
from landmarks.models import backbones

USUAL = "device=cpu workers=0 batch_size=2".split()
JOBS = {
    "whole": "predict checkpoint=a npz=true",
    "heatmaps": "predict checkpoint=u npz=true heatmaps=true confidence=true round=false",
    "together": "predict checkpoint=[a,b] npz=true flip_test=true confidence=true format=coco",
    "in_turn": "predict checkpoint=[a,b,u] npz=true one_at_a_time=true ensemble=median",
    "few": "predict checkpoint=a npz=true data.limit=1",
    "boxes": "predict checkpoint=a npz=true input=contest/test/images faces=boxes.csv",
    "detected": "predict checkpoint=a npz=true input=contest/test/images faces=detect detector=x",
    "damaged": "predict checkpoint=a npz=true input=broken data.on_error=skip",
    "exported": "predict checkpoint=a.onnx npz=true data=thousand threads=1",
    "judged": "evaluate checkpoint=a split=all",
    "half_judged": "evaluate checkpoint=u data=table data.test=t.csv split=test data.on_error=skip",
}
STOPPED = "predict checkpoint=a npz=true data.root=contest"


def detect(image):
    """Return a box or two of a photo, or none, by its sides."""
    height, width = image.shape[:2]
    found = [[2, 3, width - 4, height - 2], [5, 5, width / 2, height / 2]]
    return np.float32(found[: width % 3]).reshape(-1, 4)


def do_all(folder, begin=lambda: None):
    """Do all jobs, which write into a folder; return their exit codes by name.

    Args:
        begin: is called before each.
    """
    predict_faces.open_detector = lambda path, device: detect
    codes = {}
    for name, job in JOBS.items():
        command, *words = job.split()
        begin()
        root = [] if "input=" in job or "data=table" in job else ["data.root=contest"]
        codes[name] = cli.main([command, *USUAL, *root, *words, f"run_dir={folder}/{name}"])
    return codes


def die(value, everywhere):
    """End rank 1 as a full machine would, when it hands over its first piece."""
    if processes.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(value, everywhere)


whole = collectives.gather


def main(*ports):
    """Do all jobs as one of two processes, each with a port of its own."""
    backbones.get_model = build_narrow
    left = list(ports)

    def meet_anew():
        os.environ["MASTER_PORT"] = left.pop()

    codes = do_all("two", meet_anew)
    Path(f"{processes.rank()}.json").write_text(json.dumps(codes))
    collectives.gather = die
    command, *words = STOPPED.split()
    meet_anew()
    code = cli.main([command, *USUAL, *words, "run_dir=two/stopped"])
    Path("stopped.json").write_text(json.dumps(code))
