"""Two models on the same faces, and on other ones."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from refusals import refused

from landmarks.evaluation.comparison import (
    compare_errors,
    find_previous,
    read_stored,
    require_same_faces,
    say_difference,
)
from landmarks.evaluation.write_evaluation import conclude, write_outcome


@pytest.fixture
def stored(judged, tmp_path):
    """Write evaluations of models that are `wrong` by pixels; return how they are read."""

    def write(name, **how):
        judgement = judged(**how)
        (tmp_path / name).mkdir()
        write_outcome(tmp_path / name, judgement, conclude(judgement, [0.08]))
        return read_stored(tmp_path / name)

    return write


def test_a_worse_model_is_worse_by_more_than_chance(stored):
    worse, better = stored("worse", wrong=6.0, seed=1), stored("better", wrong=2.0, seed=2)
    found = compare_errors(worse, better)
    gap = worse.figures["mse"] - better.figures["mse"]
    assert found.mean == pytest.approx(gap) and found.low > 0 and found.groups == 20
    says = say_difference("worse", "better", found)
    assert says.startswith("better ") and f"{gap:.2f}" in says
    back = compare_errors(better, worse)
    assert back.high < 0 and say_difference("better", "worse", back).startswith("better ")


def test_equal_models_may_differ_by_chance(stored):
    found = compare_errors(stored("a", seed=1), stored("b", seed=2))
    says = say_difference("a", "b", found)
    assert not found.excludes_zero and f"{found.low:+.2f} to {found.high:+.2f}" in says


def test_other_faces_and_other_labels_are_refused(stored):
    first = stored("first")
    fewer = first._replace(names=first.names[:20], fingerprints=("x",))
    with refused(60, 20):
        require_same_faces(first, fewer)
    with refused(60, "labels"):
        compare_errors(first, first._replace(fingerprints=("x",)))


def test_named_points_are_the_same_labels_in_any_order(judged, tmp_path):
    names, order = [*"abcdefghijkl"], np.random.default_rng(0).permutation(12)
    judgement, found = judged(), {}
    for name, named, at in (
        ("first", names, range(12)),
        ("turned", names, order),
        ("swapped", [*"bacdefghijkl"], range(12)),
        ("nameless", [], order),
    ):
        here = [named[i] for i in at] if named else []
        points = judgement.faces.points[:, at]
        faces = replace(judgement.faces, points=points, point_names=here)
        (tmp_path / name).mkdir()
        own = replace(judgement, faces=faces)
        write_outcome(tmp_path / name, own, conclude(own, [0.08]))
        found[name] = read_stored(tmp_path / name)
    first = found.pop("first")
    require_same_faces(first, found["turned"])
    require_same_faces(found["turned"], found["nameless"])  # both as they stand
    places = [other.folder for other in found.values()]
    assert find_previous(first.folder, first.fingerprints, places).folder == places[0]
    for other in ("swapped", "nameless"):
        with refused(60, "order"):
            require_same_faces(first, found[other])


def test_an_older_evaluation_s_fingerprint_is_read(stored):
    first = stored("first")
    with np.load(first.folder / "errors.npz") as kept:
        arrays = {**kept, "fingerprint": kept["fingerprint"][0]}  # it was one text
    np.savez(first.folder / "errors.npz", **arrays)
    assert read_stored(first.folder).fingerprints == first.fingerprints


def test_the_newest_evaluation_of_the_same_faces_is_the_previous_one(stored, tmp_path):
    first, second = stored("first", seed=1), stored("second", seed=2)
    for age, folder in enumerate((second.folder, first.folder)):
        os.utime(folder / "errors.npz", (1e9 - age, 1e9 - age))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/errors.npz").write_bytes(b"PK")
    places = [path for path in tmp_path.iterdir() if path.is_dir()]
    found = find_previous(tmp_path / "mine", first.fingerprints, places)
    assert found.folder == second.folder
    assert find_previous(second.folder, first.fingerprints, places).folder == first.folder
    assert find_previous(tmp_path / "mine", ("other",), places) is None


def test_an_evaluation_of_the_same_model_is_no_other_one(stored, tmp_path):
    """Such as that of a run's end, when the run is evaluated again."""
    first, second = stored("first", seed=1), stored("second", seed=2)
    figures = json.loads((first.folder / "metrics.json").read_text())
    figures["checkpoint"] = {"sha256": "abc"}
    (first.folder / "metrics.json").write_text(json.dumps(figures))
    places = [first.folder, second.folder]
    os.utime(second.folder / "errors.npz", (1e9, 1e9))
    found = [find_previous(tmp_path, first.fingerprints, places, model) for model in ("abc", "d")]
    assert [other.folder for other in found] == [second.folder, first.folder]


def test_folders_without_an_evaluation_are_refused(stored, tmp_path):
    with refused("landmarks evaluate"):
        read_stored(tmp_path)
    folder = stored("a").folder
    (folder / "metrics.json").write_text("{}")
    with refused(folder / "errors.npz", "metrics.json"):
        read_stored(folder)
    whole = (folder / "errors.npz").read_bytes()
    (folder / "errors.npz").write_bytes(whole[: len(whole) // 2])
    with refused(folder / "errors.npz", "metrics.json"):
        read_stored(folder)
    assert np.isfinite(stored("b").squared).all()
