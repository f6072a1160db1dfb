"""`landmarks show`: what it opens, and contact sheets."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from landmarks.cli import main as cli


@pytest.fixture
def opened(monkeypatch):
    """Keep the albums that would be served."""
    albums = []
    monkeypatch.setattr("landmarks.commands.show.serve", lambda album, port: albums.append(album))
    return albums


@pytest.fixture
def made(contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=16)
    np.savez("p.npz", names=made.names, points=made.points.astype(np.float32) + 3)
    made.data = ["data=thousand", f"data.root={made.root}", "run_dir=out"]
    return made


def show(*words, code=0):
    assert cli.main(["show", *words]) == code


def test_labels_alone_are_shown(made, opened):
    show(*made.data)
    (album,) = opened
    assert len(album) == 16 and album.predicted is None and list(album.orders) == ["file", "name"]
    assert set(album.points(2)["sets"]) == {"truth"} and album.exclude == Path("exclude.csv")


def test_predictions_are_sorted_by_error_and_suspicion(made, opened):
    lines = [f"{name},{i}" for i, name in enumerate(made.names[:4])]
    Path("suspects.csv").write_text("\n".join(["name,score", *lines]) + "\n")
    show(*made.data, "predictions=p.npz", "suspects=suspects.csv")
    (album,) = opened
    assert list(album.orders) == ["file", "name", "suspicion", "mse", "nme"]
    np.testing.assert_allclose(album.columns["mse"], 9, rtol=1e-6)
    assert [face["name"] for face in album.page("suspicion", 0, 2)] == made.names[3:1:-1]
    np.testing.assert_allclose(np.array(album.points(5)["sets"]["predicted"]), made.points[5] + 3)


def test_a_run_is_shown_on_its_validation_faces(train, opened):
    train("run_dir=runs/a", "epochs=1")
    show("checkpoint=runs/a", "device=cpu", "workers=0", "run_dir=out")
    (album,) = opened
    with np.load("runs/a/split.npz") as split:
        assert len(album) == len(split["validation"])
    assert "mse" in album.orders and set(album.points(0)["sets"]) == {"truth", "predicted"}
    assert album.heat(0) is None  # it has none


def test_a_model_of_heatmaps_shows_them(made, opened, run_of):
    show(*made.data, f"checkpoint={run_of('unet_resnet18')}", "device=cpu", "workers=0")
    (album,) = opened
    found = album.heatmap(3)
    assert found.size == 32 and found.values.shape == (8, 8)
    width = 141  # see SIZES
    corners = found.to_image @ np.array([[-0.5, 31.5], [-0.5, 31.5], [1, 1]])
    assert np.ptp(corners, axis=1) == pytest.approx([width, width], abs=1)  # letterboxed
    assert len(album.heat(3)["png"]) > 100


def test_contact_sheets_hold_the_faces(made):
    show(*made.data, "predictions=p.npz", "png=true")
    assert cv2.imread("out/sheet-1.jpg").shape == (2 * 320, 8 * 320, 3)
    assert not Path("out/sheet-2.jpg").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["png=true", "port=80"], 2),
        (["sheets=3"], 2),
        (["suspects=gone.csv"], 1),
        (["port=99999"], 2),
    ],
)
def test_what_does_not_fit_is_refused(made, opened, words, code):
    show(*made.data, *words, code=code)


def test_a_list_of_suspects_that_is_not_there_is_said_by_its_setting(made, opened, capsys):
    show(*made.data, "suspects=gone.csv", code=1)
    error = capsys.readouterr().err
    assert "gone.csv" in error and "suspects=FILE" in error and "table=" not in error
