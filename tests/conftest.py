"""What holds for every test; fixtures by subject are in tests/fixtures/."""

import gc
import os

# Tiny models gain nothing from more threads and lose much where other processes want the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.resources import files

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from landmarks.data.caches.cache_use import release
from landmarks.outputs.pictures import save_curves
from landmarks.runs import loggers
from landmarks.training import out_of_memory
from landmarks.training.memory_estimate import estimate_step

CONFIGS = tuple(str(files(name)) for name in ("landmarks.configs", "hydra.conf"))
LONGEST = {  # a test of theirs, or what several share, takes many seconds
    "test_two_predicting.py",
    "test_two_ranks.py",
    "test_exporters.py",
    "test_kills.py",
    "test_launchers.py",
    "test_packaging.py",
    "test_benchmark.py",
    "test_sweeps_of_ranks.py",
    "test_plan.py",
    "test_memory_estimate.py",
}
pytest_plugins = ["made_faces", "made_packs", "made_runs", "real_browser"]


def pytest_collection_modifyitems(items):
    """Begin with the longest files: at the end no process waits for another one's long test."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish(session):
    """Let no search for garbage look through torch and all tests again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The cache folder of this test alone."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LANDMARKS_CACHE", str(folder))
    yield folder
    release()


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """Tests need no file to outlive a power cut; waiting for the disk takes most of their time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture(scope="session", autouse=True)
def short_runs():
    """Draw no curves of runs, and count the memory of each kind of step once.

    Both take many times as long as a tiny training. `whole_runs` takes this back.
    """
    counted = {}

    def count_once(training, *shapes):
        model, ema = training.model, training.ema is None
        given = model, model.training, [p.requires_grad for p in model.parameters()]
        keeps = [training.optimizer.defaults.get(key) for key in ("momentum", "amsgrad")]
        given += type(training.optimizer), keeps  # not its rates, which differ run by run
        given += training.accumulate, training.augment is None, ema
        given += training.precision.name, training.precision.device, shapes
        if repr(given) not in counted:
            counted[repr(given)] = estimate_step(training, *shapes)
        return counted[repr(given)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loggers, "save_curves", lambda path, history: None)
        patch.setattr(out_of_memory, "estimate_step", count_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def settings_read_once():
    """Parse each file of our settings and of Hydra's once: they are composed a thousand times.

    Hydra copies the settings of all its plugins before it composes; nothing here changes them.
    """
    original, parsed = OmegaConf.load, {}

    def load(file):
        path = str(getattr(file, "name", file))
        if not path.startswith(CONFIGS):
            return original(file)
        if path not in parsed:
            parsed[path] = OmegaConf.to_container(original(file), resolve=False)
        return OmegaConf.create(parsed[path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load))
        patch.setattr(ConfigStore, "__deepcopy__", lambda store, memo: store, raising=False)
        yield


@pytest.fixture
def whole_runs(monkeypatch):
    """Let a run draw and count all that it does for a user."""
    monkeypatch.setattr(loggers, "save_curves", save_curves)
    monkeypatch.setattr(out_of_memory, "estimate_step", estimate_step)
