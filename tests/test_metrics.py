import math

import pytest
import torch
from torch import tensor

from landmarks.metrics import normalized_error, squared_error

NAN = math.nan
TRUTH = tensor([[[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]], [[10.0, 10.0], [10.0, 20.0], [30.0, 20.0]]])
# Distances 5, 0, 1 and 0, 2, 13.
MOVES = tensor([[[3.0, -4.0], [0.0, 0.0], [-1.0, 0.0]], [[0.0, 0.0], [0.0, 2.0], [5.0, 12.0]]])


def test_squared_error_by_hand():
    # 9 + 16 + 1 = 26 and 4 + 25 + 144 = 173, over six coordinates each
    assert squared_error(TRUTH + MOVES, TRUTH).tolist() == pytest.approx([26 / 6, 173 / 6])


def test_normalized_error_by_eyes_by_hand():
    errors = normalized_error(TRUTH + MOVES, TRUTH, [0, 1])
    assert errors.tolist() == pytest.approx([2 / 5, 5 / 10])
    assert normalized_error(TRUTH + MOVES, TRUTH, [2, 0])[0].item() == pytest.approx(2 / 6)


def test_normalized_error_by_box_by_hand():
    errors = normalized_error(TRUTH + MOVES, TRUTH, None)
    assert errors.tolist() == pytest.approx([2 / math.sqrt(6 * 4), 5 / math.sqrt(20 * 10)])


def test_errors_have_no_sign():
    assert torch.equal(squared_error(TRUTH - MOVES, TRUTH), squared_error(TRUTH + MOVES, TRUTH))
    assert torch.equal(
        normalized_error(TRUTH - MOVES, TRUTH, [0, 1]),
        normalized_error(TRUTH + MOVES, TRUTH, [0, 1]),
    )


def test_missing_points_are_left_out():
    truth = TRUTH.clone()
    truth[0, 2] = truth[1, 0] = NAN
    assert squared_error(TRUTH + MOVES, truth).tolist() == pytest.approx([25 / 4, 173 / 4])
    by_eyes = normalized_error(TRUTH + MOVES, truth, [0, 1])
    assert by_eyes[0].item() == pytest.approx(2.5 / 5)
    assert by_eyes[1].isnan()  # its eye is not labelled
    by_box = normalized_error(TRUTH + MOVES, truth, None)
    assert by_box[0].item() == pytest.approx(2.5 / math.sqrt(3 * 4))
    assert by_box[1].isnan()  # two points of one height span no area


def test_half_a_missing_point_counts_by_coordinate():
    truth = TRUTH[:1].clone()
    truth[0, 0, 0] = NAN  # its y, off by 4, is known
    assert squared_error((TRUTH + MOVES)[:1], truth).item() == pytest.approx((16 + 1) / 5)


@pytest.mark.parametrize("eyes", [[0, 1], None])
@pytest.mark.parametrize("points", [[[5.0, 5.0], [5.0, 5.0]], [[NAN, NAN], [NAN, NAN]]])
def test_a_face_without_size_is_nan_and_spoils_no_other(eyes, points):
    truth = torch.stack([tensor(points), tensor([[0.0, 0.0], [8.0, 8.0]])])
    errors = normalized_error(truth.nan_to_num(0) + tensor([1.0, 0.0]), truth, eyes)
    assert errors[0].isnan()
    assert errors[1].item() == pytest.approx(1 / (8 if eyes is None else 8 * math.sqrt(2)))


def test_no_label_at_all_is_nan():
    truth = torch.full((1, 3, 2), NAN)
    assert squared_error(torch.zeros(1, 3, 2), truth).isnan().all()


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_a_prediction_that_is_no_number_is_no_missing_label(value):
    predicted, truth = TRUTH + MOVES, TRUTH.clone()
    predicted[0, 1, 0] = value
    assert not squared_error(predicted, truth)[0].isfinite()
    assert not normalized_error(predicted, truth, None)[0].isfinite()
    truth[0, 1] = NAN  # what nobody has labelled has no error
    assert squared_error(predicted, truth)[0].item() == pytest.approx(26 / 4)
    assert normalized_error(predicted, truth, [0, 2])[0].item() == pytest.approx(6 / 2 / 6)
