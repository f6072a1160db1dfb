"""Boxes of faces: about labelled points, and moved as a detector would miss them."""

import torch

from landmarks.models.keypoint_rcnn.face_boxes import JITTER, frame_points, move_edges, tell_boxes


def test_boxes_frame_labelled_points():
    points = torch.full((4, 3, 2), torch.nan)
    points[0, :2] = torch.tensor([[9.5, 19.5], [29.5, 59.5]])
    points[1, 0] = 30.0  # one point has no extent
    points[2, :2] = torch.tensor([[-20.0, 10.0], [-9.0, 30.0]])  # none inside
    boxes = frame_points(points, 64, 0.1)
    assert boxes[0].tolist() == [8.0, 16.0, 32.0, 64.0]
    assert boxes[1:].tolist() == [[0.0, 0.0, 64.0, 64.0]] * 3
    assert tell_boxes(points, 64, 0.1).tolist() == [True, False, False, False]


def test_one_point_is_all_that_a_face_of_one_tells():
    assert tell_boxes(torch.tensor([[[9.0, 9.0]], [[torch.nan, 9.0]]]), 64, 0.1).tolist() == [1, 0]


def test_edges_move_by_a_share_of_the_side_and_stay_inside():
    torch.manual_seed(0)
    faces = torch.tensor([[10.0, 20.0, 50.0, 40.0], [0.0, 0.0, 64.0, 64.0]])
    sides = torch.tensor([[40.0, 20.0, 40.0, 20.0], [64.0, 64.0, 64.0, 64.0]])
    boxes = move_edges(faces, 200, 64)
    assert boxes.shape == (2, 200, 4) and boxes.min() >= 0 and boxes.max() <= 64
    moves = (boxes - faces[:, None]) / sides[:, None]
    assert 0.95 * JITTER < moves[0].max() <= JITTER + 1e-6
    assert 0.95 * JITTER < -moves[0].min() <= JITTER + 1e-6
    assert len(boxes[0].unique(dim=0)) == 200
