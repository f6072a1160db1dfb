"""The commands: their names, what each is for, and the function that does it."""

import gc
import importlib
import sys
from collections.abc import Callable

COMMANDS = {
    "train": "train a model and keep its best checkpoint",
    "plan": "say what a training will take: memory, time, disk, money",
    "predict": "find the points of faces; write a Kaggle submission",
    "evaluate": "judge a model on labelled faces; write figures and tables",
    "show": "look at faces with their points in a browser, and mark bad ones",
    "compare": "say whether one model is better than another by more than chance",
    "runs": "list all runs with their scores and settings",
    "export": "write a model as one file for use without this program (ONNX)",
    "ensemble": "combine files of predictions of the same faces",
    "average": "average the weights of several checkpoints (a model soup)",
    "check": "find faulty images and labels before hours are spent",
    "pack": "write a data set as shards, to train on from a disk or a store",
    "cache": "list or clear what is kept to start sooner",
}

SHARED = {"train", "predict", "evaluate"}  # several processes can do these together


def load_command(command: str) -> Callable[..., int]:
    """Return a command's function, of the command's own module."""
    name = f"landmarks.commands.{command}"
    if name not in sys.modules:
        # torch brings a million objects that stay. To search them for garbage while they come, and
        # once more at the end, is a quarter of the time that a short command takes.
        gc.disable()
        try:
            importlib.import_module(name)
        finally:
            gc.freeze()
            gc.enable()
    return getattr(sys.modules[name], command)
