"""`landmarks ensemble`: files of predictions combined by name, and what cannot be combined."""

import csv

import numpy as np
import pytest

from landmarks.cli import main as cli
from landmarks.outputs.predictions import PredictionFile
from landmarks.outputs.submission import write_submission

NAMES = np.array([b"a.jpg", b"b.jpg", b"b.jpg", b"c.jpg"])  # two faces in b.jpg
RNG = np.random.default_rng(0)
FOUND = RNG.uniform(0, 99, (3, 4, 5, 2)).astype(np.float32)


def write(folder, points, order=slice(None), npz=False, unlabelled=(), point_names=()):
    folder.mkdir()
    names = NAMES[order]
    count = points.shape[1]
    with PredictionFile(
        folder, names, count, False, npz, unlabelled, point_names=point_names
    ) as file:
        file.add(points[order].copy(), np.ones(points.shape[:2], np.float32))
    return folder / ("predictions.npz" if npz else "predictions.csv")


def combine(tmp_path, *words, code=0):
    assert cli.main(["ensemble", f"run_dir={tmp_path}/out", *map(str, words)]) == code


def rows_of(path):
    with path.open() as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], FOUND.mean(0)),
        (["ensemble=median"], np.median(FOUND, 0)),
        (
            ["ensemble=weighted", "errors=[1,2,4]"],
            np.average(FOUND, axis=0, weights=[4, 2, 1]),
        ),
    ],
)
def test_points_are_combined_by_name_whatever_the_order(tmp_path, words, expected):
    orders = ([0, 1, 2, 3], [1, 3, 2, 0], [3, 0, 1, 2])  # b.jpg's faces keep theirs
    paths = [
        write(tmp_path / str(i), points, order, npz=i == 1)
        for i, (points, order) in enumerate(zip(FOUND, orders, strict=True))
    ]
    combine(tmp_path, *paths, *words, "npz=true", "confidence=true")
    with np.load(tmp_path / "out/predictions.npz") as stored:
        assert stored["names"].tolist() == np.char.decode(NAMES).tolist()
        np.testing.assert_allclose(stored["points"], expected, atol=0.01)
        spread = np.sqrt(np.square(FOUND - expected).sum(-1).mean(0))
        np.testing.assert_allclose(stored["spread"], spread, atol=0.02)
    header, *rows = rows_of(tmp_path / "out/predictions.csv")
    assert header[:3] == ["file_name", "face", "Point_0_X"] and header[-1] == "Spread_4"
    assert [row[1] for row in rows] == ["0", "0", "1", "0"]
    assert float(rows[1][2]) == pytest.approx(expected[1, 0, 0], abs=0.01)


def test_what_one_model_never_learnt_the_others_decide(tmp_path):
    first = write(tmp_path / "a", FOUND[0], unlabelled=[1, 2])
    other = write(tmp_path / "b", FOUND[1], unlabelled=[2])
    combine(tmp_path, f"predictions=[{first},{other}]", "npz=true")
    with np.load(tmp_path / "out/predictions.npz") as stored:
        np.testing.assert_allclose(stored["points"][:, 1], FOUND[1][:, 1], atol=0.01)
        assert np.isnan(stored["points"][:, 2]).all()


def test_points_are_combined_by_their_names(tmp_path, capsys):
    names, turned = [*"abcde"], [3, 1, 0, 4, 2]
    plain = write(tmp_path / "plain", FOUND[0])
    first = write(tmp_path / "first", FOUND[1], npz=True, point_names=names)
    there = FOUND[2][:, turned]
    other = write(tmp_path / "other", there, npz=True, point_names=[names[i] for i in turned])
    combine(tmp_path, first, other, "npz=true", f"run_dir={tmp_path}/named")
    assert "npz=true" not in capsys.readouterr().out
    combine(tmp_path, plain, first, other, "npz=true")
    said = [line for line in capsys.readouterr().out.splitlines() if "npz=true" in line]
    assert len(said) == 1 and str(plain) in said[0]
    for folder, used in (("named", FOUND[1:]), ("out", FOUND)):
        with np.load(tmp_path / folder / "predictions.npz") as stored:
            assert stored["point_names"].tolist() == names
            np.testing.assert_allclose(stored["points"], used.mean(0), atol=0.01)
    strange = write(tmp_path / "strange", FOUND[0], npz=True, point_names=[*"abcdx"])
    combine(tmp_path, first, strange, f"run_dir={tmp_path}/refused", code=1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'x'" in said and "'e'" in said


def test_submissions_give_a_submission(tmp_path):
    names = NAMES[[0, 1, 3]]
    for i in (0, 1):
        write_submission(tmp_path / f"{i}.csv", names, FOUND[i][[0, 1, 3]], False)
    combine(tmp_path, tmp_path / "0.csv", tmp_path / "1.csv", "round=true")
    header, *rows = rows_of(tmp_path / "out/submission.csv")
    assert header[1] == "Point_M0_X" and [row[0] for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    expected = np.rint(FOUND[:2, [0, 1, 3]].mean(0)).reshape(3, -1)
    assert np.abs(np.array([row[1:] for row in rows], float) - expected).max() <= 1


def test_what_cannot_be_combined_is_one_sentence(tmp_path, capsys):
    first, other = (write(tmp_path / name, FOUND[0]) for name in "ab")
    fewer = write(tmp_path / "fewer", FOUND[0][:, :4])
    text = other.read_text().replace("c.jpg", "d.jpg")
    (tmp_path / "d.csv").write_text(text)
    write_submission(tmp_path / "s.csv", NAMES[[0, 1, 3]], FOUND[0][[0, 1, 3]], False)
    (tmp_path / "short.csv").write_text(first.read_text().rpartition("c.jpg")[0])
    for words, code in (
        ([first], 2),
        ([first, other, first.parent / ".." / first.parent.name / first.name], 2),
        ([first, tmp_path / "nowhere.csv"], 1),
        ([first, fewer], 1),
        ([first, tmp_path / "d.csv"], 1),
        ([first, tmp_path / "short.csv"], 1),
        ([first, tmp_path / "s.csv"], 1),
        ([first, other, "ensemble=weighted"], 1),
        ([first, other, "ensemble=weighted", "errors=[1]"], 1),
        ([first, other, "errors=[1,2]"], 2),
    ):
        combine(tmp_path, *words, code=code)
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out/predictions.csv").exists()
