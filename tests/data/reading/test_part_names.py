"""Names that say which part a file is of, and names that only hold such a word."""

from pathlib import Path

import pytest

from landmarks.data.reading.part_names import part_of

NAMES = {
    "train": "train training Train TRAIN trainval trainset TRAINset train_val train_tested "
    "labels_ibug_300W_train faceTrain person_keypoints_train2017 coco_wholebody_train_v1.0 "
    "training_frames_keypoints test/train faces/train/labels",
    "test": "test testing Test TEST testset tests val valid validation eval test2017 test-dev "
    "person_keypoints_val2017 faceTest WFLWTest my_test test.v2 train/test test/labels "
    "a/valid/labels test/contest",
    "": "latest contest greatest fastest attestation protest testimony mytest tested mytrain "
    "constrain restraint trainee interval oval value values evaluated validated invalid "
    "carnival prétest latest/labels contest01_data/points faces",
}


@pytest.mark.parametrize(
    ("part", "name"), [(part, n) for part in NAMES for n in NAMES[part].split()]
)
def test_words_count_whole_and_the_nearest_name_first(part, name):
    assert part_of(Path(f"{name}.json")) == part
