"""Errors of points against plain arithmetic, and in blocks as in one piece."""

import numpy as np
import pytest
import torch

from landmarks.evaluation.bootstrap import subset_errors
from landmarks.evaluation.calibration import judge_confidence
from landmarks.evaluation.error_tables import face_rows, point_table, region_table, save_errors
from landmarks.evaluation.face_errors import (
    in_blocks,
    measure,
    measure_visibility,
    pooled_quantiles,
    sorted_quantiles,
)
from landmarks.evaluation.metrics_json import area_under_curve, failure_rate, summarise
from landmarks.layout import Layout
from landmarks.metrics import normalized_error, squared_error

LAYOUT = Layout("ours", 6, eyes=[0, 3], regions={"eyes": [0, 3], "mouth": [4, 5]})


@pytest.fixture
def some():
    """40 faces of 6 points, a tenth of the labels missing, and predictions beside them."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 200, (40, 6, 2)).astype(np.float32)
    predicted = (truth + rng.normal([1, -2], 3, truth.shape)).astype(np.float32)
    truth[rng.random((40, 6)) < 0.1] = np.nan
    truth[:, [0, 3]] = np.nan_to_num(truth[:, [0, 3]], nan=7.5)
    truth[7] = np.nan
    return predicted, truth


def measured(predicted, truth, eyes=(0, 3), sure=None, folder=None):
    names = np.array([f"{i}.jpg".encode() for i in range(len(truth))])
    at = np.arange(len(truth))
    blocks = ((*block[:2], sure) for block in in_blocks(predicted, truth, at, at))
    eyes = list(eyes) if eyes else None
    return measure(blocks, names, at, truth.shape[1], eyes, folder=folder)


def test_errors_of_many_points_wait_on_the_disk_and_come_to_the_same(some, tmp_path, monkeypatch):
    sure = np.random.default_rng(1).random((40, 6)).astype(np.float32)
    monkeypatch.setattr("landmarks.evaluation.face_errors.IN_MEMORY", 0)
    found = [measured(*some, sure=sure, folder=folder) for folder in (None, tmp_path)]
    assert [isinstance(errors.distance, np.memmap) for errors in found] == [False, True]
    assert isinstance(found[1].confidence, np.memmap) and list(tmp_path.iterdir()) == []
    groups, told, kept = np.arange(40) // 2, [], []
    for i, errors in enumerate(found):
        save_errors(tmp_path / f"{i}.npz", errors, groups, "digest")
        with np.load(tmp_path / f"{i}.npz") as stored:
            kept.append({name: stored[name] for name in stored.files})
        tables = point_table(errors, LAYOUT), region_table(errors, LAYOUT), [*face_rows(errors)]
        sureness = judge_confidence(errors.distance, errors.confidence)
        told.append(repr((summarise(errors, groups, LAYOUT, [0.1]), tables, sureness)))
    assert told[0] == told[1] and str(kept[0]["fingerprint"]) == "digest"
    for name in ("names", "rows", "groups", "squared", "nme", "distance"):
        np.testing.assert_array_equal(kept[0][name], kept[1][name])
    np.testing.assert_array_equal(kept[1]["distance"], found[0].distance)


def test_errors_are_those_of_plain_arithmetic(some):
    predicted, truth = some
    errors = measured(predicted, truth)
    far = np.sqrt(((predicted.astype(float) - truth) ** 2).sum(2))
    np.testing.assert_allclose(errors.distance, far, rtol=1e-6)
    assert np.isnan(errors.squared[7]) and not errors.judged[7] and errors.judged.sum() == 39
    for i in [i for i in range(40) if i != 7]:
        known = np.isfinite(far[i])
        gap = (predicted[i, known].astype(float) - truth[i, known]) ** 2
        assert errors.squared[i] == pytest.approx(gap.mean(), rel=1e-9)
        eyes = np.linalg.norm(truth[i, 0] - truth[i, 3])
        assert errors.nme[i] == pytest.approx(far[i, known].mean() / eyes, rel=1e-5)
    np.testing.assert_allclose(errors.bias, np.nanmean(predicted - truth, axis=0), rtol=1e-4)


def test_errors_are_those_that_training_reports(some):
    predicted, truth = map(torch.from_numpy, some)
    for eyes in ((0, 3), None):
        errors = measured(*some, eyes)
        expected = normalized_error(predicted, truth, list(eyes) if eyes else None)
        np.testing.assert_allclose(errors.nme, expected, rtol=1e-4)
        np.testing.assert_allclose(errors.squared, squared_error(predicted, truth), rtol=1e-5)


def test_a_point_without_a_prediction_is_not_judged(some):
    predicted, truth = some
    predicted[:, 5] = np.nan
    errors = measured(predicted, truth)
    np.testing.assert_allclose(errors.squared, measured(predicted[:, :5], truth[:, :5]).squared)


def test_summary_against_plain_arithmetic(some):
    errors = measured(*some)
    found = summarise(errors, np.arange(40), LAYOUT, [0.08, 0.1])
    flat = errors.distance[np.isfinite(errors.distance)].astype(float)
    nme = errors.nme[np.isfinite(errors.nme)]
    assert found["faces"] == 39 and found["labelled_points"] == len(flat)
    assert found["mse"] == pytest.approx(np.nanmean(errors.squared))
    assert found["nme"] == pytest.approx(nme.mean())
    assert found["failure_rate"]["0.08"] == sum(e > 0.08 for e in nme) / len(nme)
    for key, share in {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}.items():
        assert found["point_error"][key] == pytest.approx(np.quantile(flat, share), rel=1e-6)


def test_area_is_that_under_the_curve():
    nme = np.random.default_rng(1).gamma(4, 0.012, 500)
    steps = (np.arange(200_000) + 0.5) / 200_000 * 0.08
    cdf = np.searchsorted(np.sort(nme), steps, side="right") / len(nme)
    assert area_under_curve(nme, 0.08) == pytest.approx(cdf.mean(), abs=1e-5)
    assert area_under_curve(np.zeros(3), 0.1) == 1 and area_under_curve(np.ones(3), 0.1) == 0
    assert failure_rate(np.array([0.1, 0.1, 0.2, 0.05]), 0.1) == 0.25


def test_regions_average_to_the_whole(some):
    errors = measured(*some)
    rows = region_table(errors, LAYOUT)
    assert [row["region"] for row in rows] == ["eyes", "mouth"]
    whole = np.nanmean(errors.distance.astype(float))
    total = sum(row["n"] * row["mean"] for row in rows) / sum(row["n"] for row in rows)
    assert total == pytest.approx(whole) and sum(row["share"] for row in rows) == pytest.approx(1)
    points = point_table(errors, LAYOUT)
    total = sum(row["n"] * row["mean"] for row in points) / sum(row["n"] for row in points)
    assert total == pytest.approx(whole)
    column = errors.distance[:, 4][np.isfinite(errors.distance[:, 4])]
    assert points[4]["region"] == "mouth"
    assert points[4]["p90"] == pytest.approx(np.quantile(column.astype(float), 0.9), rel=1e-6)


def test_points_of_no_region_are_a_row_of_their_own(some):
    rows = region_table(measured(*some), Layout("ours", 6, regions={"mouth": [4, 5]}))
    assert {row["region"]: row["points"] for row in rows} == {"(none)": 4, "mouth": 2}


def test_faces_are_listed_worst_first(some):
    errors = measured(*some)
    rows = list(face_rows(errors, {"brightness": np.arange(40.0)}))
    assert [row["mse"] for row in rows] == sorted(errors.squared[errors.judged], reverse=True)
    first = rows[0]
    assert first["file_name"] == f"{first['row']}.jpg" and first["brightness"] == first["row"]
    far = errors.distance[first["row"]]
    assert first["worst_error"] == np.nanmax(far) == far[first["worst_point"]]


def test_quantiles_pass_over_what_is_missing():
    values = np.random.default_rng(2).normal(size=(5, 31)).astype(np.float32)
    values[1, 4:] = np.nan
    values[2] = np.nan
    expected = [
        np.quantile(row[np.isfinite(row)].astype(float), [0, 0.3, 1]) for row in values[[0, 1]]
    ]
    found = sorted_quantiles(values, [0, 0.3, 1])
    np.testing.assert_allclose(found[:2], expected, rtol=1e-6)
    assert np.isnan(found[2]).all()


def test_subsets_are_of_the_labelled_points():
    distance = np.full((2000, 40), np.nan, np.float32)
    distance[:, :35] = np.arange(35)
    drawn = subset_errors(distance, 30)
    mean = (np.arange(35.0) ** 2 / 2).mean()
    assert drawn.mean() == pytest.approx(mean, rel=0.01) and len(np.unique(drawn)) > 100
    few = np.full((3, 40), np.nan, np.float32)
    few[0, 3:5] = 2.0
    np.testing.assert_array_equal(subset_errors(few, 30), [2.0, np.nan, np.nan])


@pytest.mark.parametrize("count", [1, 2, 1300])
def test_pooled_quantiles_are_those_of_all_values_together(count):
    values = np.random.default_rng(3).gamma(1, 3, (count, 7)).astype(np.float32)
    values[::3, 2] = np.nan
    values[-1, 0] = 0
    shares = [0, 0.5, 0.9, 0.95, 0.99, 1]
    expected = np.quantile(values[np.isfinite(values)].astype(float), shares)
    np.testing.assert_allclose(pooled_quantiles(values, shares), expected, rtol=1e-6)
    assert np.isnan(pooled_quantiles(np.full((2, 3), np.nan, np.float32), shares)).all()


def test_errors_are_those_of_the_points_of_a_kind():
    truth = np.zeros((2, 3, 2))
    truth[:, 1] = [10, 0]  # the size of a face is 10
    predicted = truth + np.array([[[3, 4], [0, 0], [6, 8]], [[0, 0], [0, 2], [9, 9]]])
    truth[1, 2] = np.nan
    names = np.array([b"a", b"b"])
    errors = measure([(predicted, truth, None)], names, np.arange(2), 3, [0, 1])
    visible, occluded = measure_visibility(errors, np.uint8([[1, 2, 1], [2, 2, 0]]))
    assert visible["points"] == "visible" and (visible["n"], occluded["n"]) == (3, 2)
    assert visible["mean"] == pytest.approx(2 / 3) and occluded["mean"] == pytest.approx(7.5)
    assert occluded["mse"] == pytest.approx((25 + 100) / 4)
    assert occluded["nme"] == pytest.approx(0.75)
    assert measure_visibility(errors, None) == []
