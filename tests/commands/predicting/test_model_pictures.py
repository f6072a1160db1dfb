"""Heatmaps over the model's input: the bright place is where the point is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from landmarks.cli import main as cli
from landmarks.commands.predicting.model_pictures import has_heatmaps, show_heatmaps
from landmarks.models.heads import RegressionHead
from landmarks.models.heatmap_head import HeatmapHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.model_protocols import Backbone
from landmarks.training.precision import Precision

SIZE, STRIDE = 64, 4
PRECISION = Precision("off", torch.device("cpu"))
RANGES = {"all": range(2), "second": range(1, 2)}


class Pooled(Backbone):
    """Features that are the image itself, at `STRIDE` pixels a cell."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def forward(self, images):
        return [functional.avg_pool2d(images, STRIDE)]


def make():
    """Both maps of a model are its image's red channel."""
    head = HeatmapHead(3, 2, SIZE, sigma=1.0)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0, 0]] * 2))
    return Landmarker(Pooled(), head)


def split(strip):
    side = strip.shape[0]
    assert strip.shape[1] % side == 0
    return [strip[:, i : i + side].astype(float) for i in range(0, strip.shape[1], side)]


def middle_of_brightest(tile):
    """The middle (x, y), in input pixels, of what is brightest below the heading."""
    total = tile.sum(2)
    total[:24] = 0
    rows, columns = np.nonzero(total == total.max())
    scale = SIZE / len(tile)
    return (columns.mean() + 0.5) * scale - 0.5, (rows.mean() + 0.5) * scale - 0.5


@pytest.mark.parametrize("point", [(20.0, 41.0), (49.4, 12.6), (62.5, 62.5)])
def test_a_target_is_drawn_over_its_point(point):
    points = torch.tensor([[[9.5, 33.5], point]])
    images = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    (strip,) = show_heatmaps(make(), images, RANGES, PRECISION, points)
    everything, nothing, target, predicted = split(strip)
    assert middle_of_brightest(target) == pytest.approx(point, abs=STRIDE / 2)
    assert everything[168:170, 48:50].sum() > 300  # the other point too: 5 pixels a pixel
    assert target[168:170, 48:50].sum() == 0
    assert nothing[24:].max() == predicted[24:].max() == 0


def test_a_prediction_is_drawn_where_the_model_sees_it():
    images = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    images[0, 0, 40:44, 20:24] = 255  # one cell
    images[1, 0, 8:12, 60:64] = 255
    first, second = show_heatmaps(make(), images, RANGES, PRECISION)
    assert len(split(first)) == 2
    for tile in split(first):
        assert middle_of_brightest(tile) == pytest.approx((21.5, 41.5))
    for tile in split(second):
        assert middle_of_brightest(tile) == pytest.approx((61.5, 9.5))


def test_the_face_shows_where_maps_are_empty_in_its_own_colours():
    images = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    images[:, 2] = 200  # blue, which the maps do not see
    (strip,) = show_heatmaps(make(), images, RANGES, PRECISION)
    assert split(strip)[0][200, 200].tolist() == [100, 0, 0]


def test_regression_has_no_heatmaps():
    assert has_heatmaps(make())
    assert not has_heatmaps(Landmarker(Pooled(), RegressionHead(3, 2, SIZE)))


def test_pictures_that_cannot_be_drawn_end_neither_training_nor_prediction(
    train, monkeypatch, capsys
):
    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    for place in ("cv2.imencode", "landmarks.runs.loggers.save_curves"):
        monkeypatch.setattr(place, full)
    made = train("run_dir=runs/a", "epochs=2")
    assert capsys.readouterr().out.count("No space left on device") == 1
    predicting = ["predict", f"data.root={made.root}", "run_dir=p", "device=cpu"]
    assert cli.main(predicting) == 0
    assert capsys.readouterr().out.count("No space left on device") == 1
    assert {path.suffix for path in Path("p").iterdir()} == {"", ".csv", ".log"}
    assert Path("p/submission.csv").is_file() and Path("runs/a/best.pt").is_file()
