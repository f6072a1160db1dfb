"""Trainings killed at any moment, then resumed: the same bits, no broken file, nothing left.

LANDMARKS_KILLS=20 makes it twenty kills in place of a few, LANDMARKS_SEED=1 makes it others.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from landmarks.runs.checkpoint import load_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures"
KILLS = int(os.environ.get("LANDMARKS_KILLS", "3"))
WORDS = (
    "train model=resnet18 model.weights=none "
    "input_size=32 batch_size=4 epochs=2 split.share=0.25 amp=off device=cpu".split()
)
# Forks a training for each line, so that torch is imported once, files of settings are read once
# and the network is traced once; the memory of a step is not counted. A training is killed when it
# is about to touch its n-th file (or take a step, which counts as one), when it has written half of
# its n-th checkpoint, or after so many seconds.
HOST = """
import io, json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import landmarks.commands.train, hydra, matplotlib.figure, torch
from made_runs import build_narrow
from landmarks.cli import main as cli
from landmarks.cli.overrides import groups_of
from landmarks.commands.preparing.config_groups import nodes_of
from landmarks.commands.preparing.non_default_settings import list_chosen
from landmarks.models import backbones
from landmarks.training import out_of_memory
from landmarks.training.memory_estimate import Estimate
from landmarks.training.training_state import Training

backbones.get_model = build_narrow
backbones.TorchvisionBackbone("resnet18")
GROUPS = "model data loss augment optimizer scheduler".split()
list_chosen({key: {} for key in GROUPS})
groups_of("train")
for group in GROUPS:
    nodes_of(group)
out_of_memory.estimate_step = lambda training, *shapes: Estimate(4, 1, 1, 1, 1, 1, 1.0)
advance = Training.advance
Training.advance = lambda training: (sys.audit("step"), advance(training))[1]
sys.argv = ["landmarks"]

def train(words, cache, kill_at, kill_in_save, seconds):
    seen, saves, save = 0, 0, torch.save
    def watch(event, arguments):
        nonlocal seen
        touches = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
        if event == "open":
            touches = os.getcwd() in str(arguments[0]) and "images" not in str(arguments[0])
        if touches or event == "step":
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    def save_or_die(content, file):
        nonlocal saves
        saves += 1
        whole = io.BytesIO()
        save(content, whole)
        if saves == kill_in_save:
            file.write(whole.getbuffer()[: len(whole.getbuffer()) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        file.write(whole.getbuffer())
    torch.save = save_or_die
    os.environ["LANDMARKS_CACHE"] = cache
    with open("log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.addaudithook(watch)
    if seconds:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM, which nothing here handles
    code = cli.main(words)
    with open("seen", "w") as file:
        file.write(str(seen))
    sys.stdout.flush()
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        train(**json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

NO_KILL = {"kill_at": 0, "kill_in_save": 0, "seconds": 0.0}


@pytest.fixture
def train(contest, tmp_path):
    """Run a training in a process of its own; return its exit code, below 0 if it was killed."""
    made = contest(train=16)
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(FIXTURES)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(*words, cache, **kill):
        words = [*WORDS, f"data.root={made.root}", *words]
        order = {"words": words, "cache": cache, **NO_KILL, **kill}
        host.stdin.write(json.dumps(order) + "\n")
        host.stdin.flush()
        return int(host.stdout.readline())

    yield run
    host.stdin.close()
    host.wait(60)


def check_files(folder):
    """Load every file of a run or cache that has its own name."""
    readers = {
        ".pt": load_checkpoint,
        ".npz": lambda path: dict(np.load(path)),
        ".npy": np.load,
        ".csv": pd.read_csv,
        ".json": lambda path: json.loads(path.read_text()),
        ".png": lambda path: cv2.imread(str(path)).shape,
    }
    for path in folder.rglob("*"):
        is_part = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not is_part and path.suffix in readers:
            readers[path.suffix](path)


def check_end(tmp_path, cache):
    """See that a training that was killed has ended as one that was not, and left no more."""
    (run,) = (tmp_path / "runs").iterdir()
    whole, parts = (load_checkpoint(folder / "last.pt") for folder in (tmp_path / "whole", run))
    for key in ("weights", "training"):
        assert str_of(getattr(whole, key)) == str_of(getattr(parts, key))
    left, expected = (sorted(os.listdir(folder)) for folder in (run, tmp_path / "whole"))  # noqa: PTH208
    assert left == expected
    assert not list(cache.rglob(".*"))


def str_of(state):
    """Everything in a checkpoint's part but times, bit by bit."""
    if isinstance(state, dict):
        timed = ("seconds", "images_per_s", "data_wait", "elapsed")
        return {key: str_of(value) for key, value in state.items() if key not in timed}
    if isinstance(state, list):
        return [str_of(value) for value in state]
    return state.numpy().tobytes() if hasattr(state, "numpy") else state


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_and_resumed_equals_uninterrupted(train, tmp_path):
    assert train("run_dir=whole", cache=str(tmp_path / "cache")) == 0
    touched = int((tmp_path / "seen").read_text())
    assert touched > 40
    draw, killed, chain = random.Random(os.environ.get("LANDMARKS_SEED", "0")), 0, 0
    while killed < KILLS:
        wanted = "auto"
        cache, chain = tmp_path / f"cache{chain}", chain + 1
        while True:
            ways = [
                {"kill_in_save": draw.randint(1, 2)},  # of two epochs' last.pt and best.pt
                {"kill_at": draw.randint(1, touched)},
                {"seconds": draw.uniform(0.2, 3)},
            ]
            kill = ways[killed % 3] if killed < KILLS else {}
            code = train(f"resume={wanted}", cache=str(cache), **kill)
            for folder in (tmp_path / "runs", cache):
                check_files(folder)
            if code >= 0:
                break
            killed += 1
            for run in (tmp_path / "runs").glob("*"):  # time passes
                os.utime(run, (0, 0))
                if (run / "finished.json").is_file():  # auto would begin another
                    wanted = run
        # One killed after its very end has nothing left to do, and says so.
        assert code == (0 if wanted == "auto" else 1), (tmp_path / "log").read_text()[-2000:]
        check_end(tmp_path, cache)
        shutil.rmtree(tmp_path / "runs")
