"""The interval is honest where faces of a group fail together, and is no narrower than that."""

import numpy as np
import pytest

from landmarks.evaluation.bootstrap import difference_interval, group_faces, mean_interval


def correlated(rng, groups, size, share=0.7):
    """Errors of faces whose group explains `share` of their variance."""
    common = rng.normal(size=groups).repeat(size) * np.sqrt(share)
    return 10 + common + rng.normal(size=groups * size) * np.sqrt(1 - share)


def test_interval_is_that_of_theory_for_single_faces():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean_interval(values, np.arange(400))
    half = 1.966 * values.std(ddof=1) / 20
    assert found.mean == pytest.approx(values.mean()) and found.groups == 400
    assert found.low == pytest.approx(values.mean() - half, abs=0.25 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.25 * half)


@pytest.mark.parametrize("groups", [15, 40])
def test_equal_models_are_told_apart_as_often_as_chance_would(groups):
    """Over 200 pairs of equal models, the share of intervals without zero is 2 to 9 %."""
    rng, number = np.random.default_rng(groups), np.arange(groups).repeat(8)
    wrong = alone = 0
    for seed in range(200):
        first, second = correlated(rng, groups, 8), correlated(rng, groups, 8)
        wrong += difference_interval(first, second, number, seed).excludes_zero
        if seed < 50:  # what would come of it if faces were drawn, not groups
            single = np.arange(groups * 8)
            alone += difference_interval(first, second, single).excludes_zero
    assert 0.02 <= wrong / 200 <= 0.09
    assert alone / 50 > 0.2


def test_a_real_difference_is_found():
    rng = np.random.default_rng(3)
    first = correlated(rng, 40, 8)
    found = difference_interval(
        first + 0.5, first + rng.normal(0, 0.3, 320), np.arange(40).repeat(8)
    )
    assert found.excludes_zero and found.low < 0.5 < found.high


def test_faces_without_labels_and_single_groups():
    values = np.array([1.0, np.nan, 3.0])
    assert mean_interval(values, np.array([0, 1, 2])).groups == 2
    one = mean_interval(values, np.zeros(3, int))
    assert one.mean == 2 and np.isnan(one.low) and not one.excludes_zero


def test_rows_are_grouped_with_their_neighbours(tmp_path):
    names = np.array([b"%d.jpg" % i for i in range(400)])
    groups, says = group_faces(names, np.arange(400), "a.csv", None, None, 10)
    assert "10" in says and np.array_equal(groups, np.arange(400) // 10)
    few, _ = group_faces(names[:60], np.arange(60), "a.csv", None, None, 10)
    assert len(np.unique(few)) == 20  # of 60 faces no blocks of 10
    names[25] = names[3]  # one image stays together
    groups, _ = group_faces(names, np.arange(400), "a.csv", None, None, 10)
    assert groups[25] == groups[3]


def test_a_table_groups_faces(tmp_path):
    table = tmp_path / "meta.csv"
    table.write_text("file_name,person\na.jpg,1\nb.jpg,2\nc.jpg,1\n")
    names = np.array([b"a.jpg", b"b.jpg", b"c.jpg"])
    groups, says = group_faces(names, np.arange(3), "a.csv", str(table), "person", 10)
    assert groups[0] == groups[2] != groups[1] and "person" in says
