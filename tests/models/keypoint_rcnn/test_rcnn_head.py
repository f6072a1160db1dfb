"""What the head says of faces that it has not found."""

import logging

import pytest
import torch

from landmarks.distributed import collectives
from landmarks.models.keypoint_rcnn.detector import keypoint_rcnn


@pytest.mark.parametrize(("joined", "said"), [(False, "3 of 8 images"), (True, "7 of 18 images")])
def test_faces_not_found_are_those_of_all_ranks(joined, said, monkeypatch, caplog):
    head = keypoint_rcnn(weights="none", num_points=2, input_size=32).head
    monkeypatch.setattr(collectives, "are_joined", lambda: joined)
    others = torch.tensor([4, 10])
    monkeypatch.setattr(collectives, "reduce", lambda counts: counts + others)
    head.missed += 3
    head.seen = 8
    with caplog.at_level(logging.WARNING):
        head.report()
    assert said in caplog.text
    assert (int(head.missed), head.seen) == (0, 0)
