"""A clip's points on the disk: rows a frame, arrays of any length, nothing half-written."""

import numpy as np
import pytest

from landmarks.outputs.clip_files import FrameFile


def write(folder, fail=False, **chosen):
    points = np.float32([[[1.234, -5.5], [7, 8], [9, 10]]])
    points = points + np.arange(4, dtype=np.float32)[:, None, None]
    settings = {"rounded": False, "npz": True, "unlabelled": [1], **chosen}
    with FrameFile(folder, 3, **settings) as file:
        for i, face in enumerate(points):
            state = "followed" if i != 2 else "lost"
            seen = (face, np.float32([0.5, 0.6, 0.7])) if i != 2 else (None, None)
            file.add(i / 25, state, *seen)
            if fail:
                raise ValueError
    return points


def test_rows_and_arrays_are_those_added(tmp_path):
    points = write(tmp_path, columns=True, point_names=["nose", "chin", "ü"])
    lines = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    assert lines[0][:5] == ["frame", "time", "state", "Point_0_X", "Point_0_Y"]
    assert lines[0][-1] == "Confidence_2" and {len(line) for line in lines} == {12}
    assert lines[2] == "1,0.0400,followed,2.23,-4.50,,,10.00,11.00,0.50,,0.70".split(",")
    assert lines[3][:3] == ["2", "0.0800", "lost"] and set(lines[3][3:]) == {""}
    with np.load(tmp_path / "predictions.npz") as stored:
        assert stored["states"].tolist() == ["followed", "followed", "lost", "followed"]
        assert stored["point_names"].tolist() == ["nose", "chin", "ü"]
        assert stored["times"].tolist() == [0, 0.04, 0.08, 0.12]
        np.testing.assert_array_equal(
            stored["points"][[0, 1, 3]][:, [0, 2]], points[[0, 1, 3]][:, [0, 2]]
        )
        assert np.isnan(stored["points"][2]).all() and np.isnan(stored["points"][:, 1]).all()
        assert stored["confidence"][0].tolist() == pytest.approx([0.5, np.nan, 0.7], nan_ok=True)
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.csv", "predictions.npz"}


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        write(tmp_path, fail=True)
    assert list(tmp_path.iterdir()) == []


def test_rounded_rows_alone(tmp_path):
    write(tmp_path, rounded=True, npz=False, certainty="spread", unlabelled=[])
    assert "0,0.0000,followed,1,-6,7,8,9,10" in (tmp_path / "predictions.csv").read_text()
    assert not (tmp_path / "predictions.npz").exists()
