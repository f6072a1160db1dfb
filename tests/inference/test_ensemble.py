"""Several models as one."""

import cv2
import numpy as np
import pytest
from refusals import refused

import landmarks
from landmarks.cli import main as cli
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.inference.ensemble import combine_points, spread_of
from landmarks.inference.open_model import open_finder

PLAIN = {"device": "cpu", "amp": "off"}


@pytest.fixture(scope="module")
def runs(run_of):
    """Models of other architectures, input sizes and crops."""
    made = run_of(), run_of("unet_resnet18", 1, {"crop": "center"}, size=48)
    return *made, run_of(seed=2, settings={"crop": "stretch"}, metrics={"val_mse": 1.0})


def each(runs, photos):
    return [landmarks.load(run, **PLAIN).predict(photos, channels="bgr") for run in runs]


@pytest.mark.parametrize("one_at_a_time", [False, True])
@pytest.mark.parametrize("how", ["mean", "median", "weighted"])
def test_points_are_combined_in_original_pixels(runs, photos, how, one_at_a_time):
    points = np.stack([found.points for found in each(runs, photos)])
    model = landmarks.load(runs, ensemble=how, one_at_a_time=one_at_a_time, **PLAIN)
    assert bool(model.finder.members) != one_at_a_time
    found = model.predict(photos, channels="bgr", batch_size=5)
    expected = {
        "mean": points.mean(0),
        "median": np.median(points, 0),
        "weighted": (points[0] / 2 + points[1] / 2 + points[2]) / 2,
    }[how]
    np.testing.assert_allclose(found.points, expected, atol=1e-3)
    distance = np.linalg.norm(points - expected, axis=-1)
    np.testing.assert_allclose(found.spread, np.sqrt((distance**2).mean(0)), atol=1e-3)
    assert np.isnan(found.confidence).all()


def test_models_that_see_alike_read_the_photos_once(run_of, runs, photos, monkeypatch):
    like_the_first = run_of(seed=3, settings={"crop": "letterbox"})
    reads = []
    original = CroppedFaces.__getitems__
    monkeypatch.setattr(
        CroppedFaces, "__getitems__", lambda s, rows: reads.append(rows) or original(s, rows)
    )
    model = landmarks.load([*runs, like_the_first], **PLAIN)
    found = model.predict(photos, channels="bgr", batch_size=2)
    assert len(reads) == 3 * 3  # batches by ways to see
    expected = np.mean([one.points for one in each([*runs, like_the_first], photos)], 0)
    np.testing.assert_allclose(found.points, expected, atol=1e-3)


def test_models_that_know_their_confidence_give_it(run_of, photos):
    runs = [run_of("unet_resnet18", seed) for seed in (1, 2)]
    model = landmarks.load(runs, **PLAIN)
    found = model.predict(photos, channels="bgr")
    assert found.spread is None
    both = [one.confidence for one in each(runs, photos)]
    np.testing.assert_allclose(found.confidence, np.mean(both, 0), atol=1e-5)


def test_a_point_that_one_model_has_not_learnt_is_the_others(run_of, photos):
    runs = [run_of(unlabelled=[1, 2]), run_of(seed=1, unlabelled=[2])]
    found = landmarks.load(runs, **PLAIN).predict(photos, channels="bgr").points
    alone = landmarks.load(runs[1], **PLAIN).predict(photos, channels="bgr").points
    np.testing.assert_allclose(found[:, 1], alone[:, 1], atol=1e-4)
    assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, [0, 1, 3, 4]]).all()


def test_combinations_and_their_spread():
    points = np.array([[[0.0, 0]], [[3, 0]], [[0, 9]]])[:, None]
    assert combine_points(points, "mean").tolist() == [[[1, 3]]]
    assert combine_points(points, "median").tolist() == [[[0, 0]]]
    assert combine_points(points, "weighted", np.array([1, 2, 3])).tolist() == [[[1, 4.5]]]
    two = np.array([[[1.0, 1]], [[4, 5]]])[:, None]
    assert spread_of(two, combine_points(two, "mean")).tolist() == [[2.5]]


def test_models_that_do_not_belong_together_are_refused(run_of):
    layout = {"name": "other", "num_points": 5, "regions": {"nose": [0, 4]}}
    with pytest.raises(landmarks.UserError, match="other"):
        landmarks.load([run_of(), run_of(layout=layout)], **PLAIN)
    named = [
        {"name": "named", "num_points": 5, "names": [*names]}
        for names in ("abcde", "abdce", "abxde")
    ]
    with refused("point 2", "'c'", "'d'", "model 3", "order", "landmarks ensemble"):
        landmarks.load([run_of(layout=named[i]) for i in (0, 0, 1)], **PLAIN)
    with refused("point 2", "'c'", "'x'", "model 2", "names") as caught:  # that cannot combine them
        landmarks.load([run_of(layout=named[i]) for i in (0, 2)], **PLAIN)
    assert "landmarks ensemble" not in str(caught.value)
    nameless = run_of(layout={"name": "none", "num_points": 5})
    landmarks.load([run_of(layout=named[0]), run_of(layout=named[0]), nameless], **PLAIN)
    with pytest.raises(landmarks.UserError, match="weighted"):
        open_finder([run_of(), run_of(metrics={"val_mse": 0.0})], ensemble="weighted", **PLAIN)
    with pytest.raises(landmarks.UserError, match="nowhere"):
        landmarks.load([run_of(), "nowhere"])


def test_a_model_counts_once_in_an_ensemble(runs, tmp_path, monkeypatch, capsys):
    run = runs[0]
    monkeypatch.chdir(run.parent)
    for twice in (run, run / "best.pt", run.name):  # by its file, by a relative path
        with refused("best.pt", "once"):
            landmarks.load([run, runs[1], twice], **PLAIN)
    listed = f"checkpoint=[{run},{run.name}/best.pt]"
    for words in ("predict", "evaluate", "show", f"export output={tmp_path}/two.onnx"):
        assert cli.main([*words.split(), listed, f"run_dir={tmp_path}/out"]) == 2
        said = capsys.readouterr().err
        assert (
            said.count("\n") == 1 and f" {run}/best.pt" in said and f" {run.name}/best.pt" in said
        )


def test_the_command_writes_an_ensemble_s_points_and_spread(runs, photos, tmp_path):
    (tmp_path / "in").mkdir()
    for i, photo in enumerate(photos):
        cv2.imwrite(str(tmp_path / f"in/{i}.png"), photo)
    listed = f"checkpoint=[{','.join(map(str, runs))}]"
    words = [f"input={tmp_path}/in", "device=cpu", "amp=off", "npz=true", "confidence=true"]
    assert cli.main(["predict", listed, *words, f"run_dir={tmp_path}/out"]) == 0
    found = landmarks.load(runs, **PLAIN).predict(photos, channels="bgr")
    with np.load(tmp_path / "out/predictions.npz") as saved:
        np.testing.assert_allclose(saved["points"], found.points, atol=1e-4)
        np.testing.assert_allclose(saved["spread"], found.spread, atol=1e-4)
        assert "confidence" not in saved
    header, first = (tmp_path / "out/predictions.csv").read_text().splitlines()[:2]
    assert header.endswith("Spread_0,Spread_1,Spread_2,Spread_3,Spread_4")
    written = [float(value) for value in first.split(",")[-5:]]
    np.testing.assert_allclose(written, found.spread[0], atol=0.0051)
    words = [f"checkpoint={runs[0]}", f"input={tmp_path}/in", f"run_dir={tmp_path}/none"]
    assert cli.main(["predict", *words, "confidence=true"]) == 1
    assert cli.main(["predict", *words, "ensemble=median"]) == 2
