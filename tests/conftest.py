import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

# Tiny models gain nothing from more threads and lose much where other processes want the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.resnet import BasicBlock, ResNet

from landmarks.commands.build import nodes_of
from landmarks.data.cache_use import release
from landmarks.data.formats.facial_keypoints import POINTS
from landmarks.models import backbones
from landmarks.runs import log
from landmarks.runs.checkpoint import Checkpoint, save_checkpoint
from landmarks.runs.older_formats import LATER
from landmarks.runs.pictures import save_curves
from landmarks.runs.trusted import trusted
from landmarks.training import memory_advice
from landmarks.training.memory_estimate import estimate_step

SHARED = Path(__file__).parents[2] / "shared/data"
K, SIZE = 5, 32
LAYOUT = {"name": "five", "num_points": K, "regions": {"eyes": [0, 1], "rest": [2, 4]}}

SIZES = ((60, 80), (97, 64), (50, 50), (141, 90), (33, 120))  # width, height


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
        given += training.optimizer, training.accumulate, training.augment is None, ema
        given += training.precision.name, training.precision.device, shapes
        if repr(given) not in counted:
            counted[repr(given)] = estimate_step(training, *shapes)
        return counted[repr(given)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "save_curves", lambda path, history: None)
        patch.setattr(memory_advice, "estimate_step", count_once)
        yield


@pytest.fixture
def whole_runs(monkeypatch):
    """Let a run draw and count all that it does for a user."""
    monkeypatch.setattr(log, "save_curves", save_curves)
    monkeypatch.setattr(memory_advice, "estimate_step", estimate_step)


class NarrowResNet(ResNet):
    """A ResNet with an eighth of the channels: its checkpoints take a sixtieth of the disk."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.fc = nn.Linear(64, 1)

    def _make_layer(self, block, planes, *arguments, **named):
        return super()._make_layer(block, planes // 8, *arguments, **named)


@pytest.fixture(scope="module")
def narrow():
    """Let resnet18 be a narrow one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "get_model", build_narrow)
        yield


def build_narrow(name, weights=None):
    """Return torchvision's network of that name, but a narrow resnet18."""
    if name == "resnet18":
        return NarrowResNet(BasicBlock, [2, 2, 2, 2])
    return get_model(name, weights=weights)


@pytest.fixture
def contest(tmp_path, write_contest):
    """Write a small data set in the contest's layout and say what is in it."""

    def write(folder="contest", **wanted):
        return write_contest(tmp_path / folder, **wanted)

    return write


@pytest.fixture(scope="session")
def write_contest():
    """Do what `contest` does in a folder that outlives a test."""

    def write(root, train=6, test=3, num_points=5, asked=2, seed=0):
        rng = np.random.default_rng(seed)
        parts = {}
        for part, count in (("train", train), ("test", test)):
            (root / part / "images").mkdir(parents=True)
            names = [f"{rng.integers(2**63):032x}.jpg" for _ in range(count)]
            points = [
                paint(root / part / "images" / name, i, num_points, rng)
                for i, name in enumerate(names)
            ]
            parts[part] = names, np.array(points).reshape(count, num_points, 2)
        names, points = parts["train"]
        header = [f"Point_{k}_{axis}" for k in range(num_points) for axis in "XY"]
        rows = [[name, *face.ravel()] for name, face in zip(names, points, strict=True)]
        write_table(root / "train/landmarks.csv", ["file_name", *header], rows)
        wanted = np.array([rng.permutation(num_points)[:asked] for _ in range(test)])
        rows = [[name, row.tolist()] for name, row in zip(parts["test"][0], wanted, strict=True)]
        write_table(root / "test/test_points.csv", ["file_name", "point_index_list"], rows)
        return SimpleNamespace(
            root=root,
            names=names,
            points=points,
            wanted=wanted,
            test_names=parts["test"][0],
            test_points=parts["test"][1],
        )

    return write


@pytest.fixture(scope="session")
def write_facial_keypoints():
    """Write a small data set as Kaggle's Facial Keypoints is, and say what is in it."""

    def write(root, train=6, test=3, side=12, seed=0):
        rng = np.random.default_rng(seed)
        root.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (train + test, side, side), dtype=np.uint8)
        pixels[:, -1, -1] = 7
        # As in a face: the subject's left is at the right.
        shape = "62 38 38 37 55 38 72 38 45 38 28 38 56 30 77 29 44 30 23 29 50 57 62 76 38 76"
        shape = np.array([*map(float, shape.split()), 50, 73, 50, 84]).reshape(15, 2)
        points = shape * side / 100 + rng.normal(0, side / 60, (train + test, 15, 2))
        few = np.isin(np.arange(15), (0, 1, 10, 14))
        points[1::2, ~few] = np.nan
        names = [f"{p}_{axis}" for p in POINTS for axis in "xy"]
        images = [" ".join(map(str, image.ravel().tolist())) for image in pixels]
        places = [["" if np.isnan(x) else f"{x:.4f}" for x in face.ravel()] for face in points]
        rows = [[*face, image] for face, image in zip(places, images, strict=True)]
        tables = {
            "training.csv": [[*names, "Image"], *rows[:train]],
            "truth.csv": [[*names, "Image"], *rows[train:]],
            "test.csv": [["ImageId", "Image"], *enumerate(images[train:], start=1)],
        }
        asked = [
            (image, name)
            for image, face in enumerate(places[train:], start=1)
            for name, place in zip(names, face, strict=True)
            if place
        ]
        listed = [[row, *each, "?"] for row, each in enumerate(asked, start=1)]
        header = ["RowId", "ImageId", "FeatureName", "Location"]
        tables["IdLookupTable.csv"] = [header, *listed]
        for name, lines in tables.items():
            (root / name).write_text("".join(",".join(map(str, row)) + "\n" for row in lines))
        return SimpleNamespace(
            root=root,
            points=points[:train],
            pixels=pixels[:train],
            truth=points[train:],
            asked=[(row, *each) for row, each in enumerate(asked, start=1)],
        )

    return write


@pytest.fixture(scope="session")
def checkpoint_of():
    """Return a checkpoint of the named things; whatever else is in one is as small as can be."""

    def make(config=None, num_points=5, **named):
        least = {"crop": "letterbox", "input_size": 32, "model": {}, "data": {"exif": "rotate"}}
        settings = {**LATER, **least, **(config or {})}
        rest = {"layout": {"name": "none", "num_points": num_points}, "flip": None}
        rest |= {"unlabelled": [], "metrics": {}, "weights": {}}
        return Checkpoint(settings, num_points, **{**rest, **named})

    return make


def paint(path, index, num_points, rng):
    """Write a picture with a dot at each of its points; return the points, whole pixels."""
    width, height = SIZES[index % len(SIZES)]
    image = np.full((height, width, 3), rng.integers(20, 90, 3), np.uint8)
    points = rng.integers((4, 4), (width - 4, height - 4), (num_points, 2))
    for x, y in points.tolist():
        cv2.circle(image, (x, y), 2, (230, 240, 250), -1)
    assert cv2.imwrite(str(path), image)
    return points


def write_table(path, header, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [header, *rows]))


def real_data(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not here")
    return SHARED / name


@pytest.fixture(scope="session")
def faces971():
    """A folder of real faces with 971 points, in the contest's layout."""
    return real_data("faces971")


@pytest.fixture(scope="session")
def faces68():
    """A folder of real faces with 68 points, in the contest's layout."""
    return real_data("faces68")


@pytest.fixture(scope="session")
def layout971():
    """A description of the 971 points that is independent of configs/layout."""
    return json.loads((real_data("topology") / "layout971.json").read_text())


@pytest.fixture
def dot():
    """Draw one bright dot on black, (height, width, 3) uint8; x and y are its centre."""

    def draw(width, height, x, y, sigma):
        across = np.exp(-((np.arange(width) - x) ** 2) / (2 * sigma**2))
        down = np.exp(-((np.arange(height) - y) ** 2) / (2 * sigma**2))
        return np.repeat(
            np.rint(240 * np.outer(down, across)).astype(np.uint8)[..., None], 3, axis=2
        )

    return draw


@pytest.fixture
def centroid():
    """Find the centre of what is bright in an image (height, width)."""

    def find(image):
        weights = image.astype(np.float64)
        rows, columns = np.indices(image.shape)
        return (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()

    return find


@pytest.fixture(scope="session")
def chromium():
    """Open Debian's Chromium without a screen; skipped where it, or selenium, is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver")
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for word in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-sync",
        "disable-background-networking",
        "disable-component-update",
        "disable-dev-shm-usage",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ.setdefault("SE_OFFLINE", "true")
    service = webdriver.ChromeService(executable_path=found[1])
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """Return the open browser, on an empty page and without what an earlier page logged."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="session")
def resize():
    """Give a browser's page a width; a window of Chromium's is 500 pixels wide at least."""

    def set_width(browser, width):
        screen = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    return set_width


@pytest.fixture(scope="session")
def run_of(checkpoint_of, tmp_path_factory):
    """Make the folder of a run whose small model has random weights, and return it."""

    def make(name="resnet18", seed=0, settings=(), size=SIZE, folder=None, **changes):
        node = next(dict(node) for node in nodes_of("model") if is_of(node, name))
        node |= {"weights": "none"} if "weights" in node else {}
        arguments = {key: node[key] for key in node if not key.startswith("_")}
        torch.manual_seed(seed)
        start = np.random.default_rng(seed).uniform(4, size - 4, (K, 2)).astype(np.float32)
        builder = trusted(node, "model")
        model = builder(**arguments, num_points=K, input_size=size, mean_points=start)
        for head in (model.head, getattr(model.head, "corrections", None)):
            for key in ("weight", "offsets"):  # answers that depend on the image
                part = getattr(head, key, None)
                part = getattr(part, "weight", part)
                if part is not None:
                    torch.nn.init.normal_(part, std=0.05)
        changes = {"layout": LAYOUT, "flip": [1, 0, 2, 3, 4], **changes}
        changes["metrics"] = {"epoch": 1, "val_mse": 2.0, **changes.get("metrics", {})}
        config = {"model": node, "input_size": size, **dict(settings)}
        run = folder or tmp_path_factory.mktemp("run")
        run.mkdir(parents=True, exist_ok=True)
        weights = model.state_dict()
        save_checkpoint(run / "best.pt", checkpoint_of(config, K, weights=weights, **changes))
        return run

    return make


def is_of(node, name):
    of = node["_target_"].rpartition(".")[2]
    kind = {"regressor": "", "unet": "unet_"}.get(of)
    return name == of if kind is None else name == f"{kind}{node.get('backbone')}"


@pytest.fixture
def photos():
    """Photos of different sizes with structure, (H, W, 3) uint8 BGR."""
    rng, made = np.random.default_rng(3), []
    for width, height in ((60, 80), (97, 64), (33, 120), (300, 211), (16, 16)):
        coarse = rng.integers(0, 255, (-(-height // 8), -(-width // 8), 3))
        made.append(coarse.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8))
    return made
