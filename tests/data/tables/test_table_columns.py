"""Which columns of a table are taken for what."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.table import read_faces
from landmarks.data.tables.table_columns import find_columns


def find(header, name=None, boxes=None, first=()):
    return find_columns(Path("t.csv"), header.split(","), name, boxes, first)


def test_named_points_are_in_the_order_of_their_columns():
    columns = find("image_id,left_eye_x,left_eye_y,nose_x,nose_y,age,gender_v")
    assert columns == (0, [1, 2, 3, 4], [], [], ["left_eye", "nose"])
    assert find("Eye Y,Eye X,name,bbox_x,bbox_y,center_x,center_y").points == [1, 0]
    corners = find("file_name,max,x_min,y_min,x_max,y_max,noseX,noseY")
    assert corners == (0, [6, 7], [2, 3, 4, 5], [], ["nose"])
    with refused("data.name_column"):
        find("nose_x,nose_y")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("chin_x,chin_z", ["'chin_x'", "y"]),
        ("y.chin", ["'y.chin'", "x"]),
    ],
)
def test_half_a_point_is_refused_not_left_out(columns, said):
    nose = "x.nose,y.nose" if columns == "y.chin" else "nose_x,nose_y"
    with refused(*said):
        find(f"file_name,{nose},{columns}")


def test_corners_of_a_box_beside_named_points_are_asked_about():
    header = "image,x1,y1,x2,y2,nose_x,nose_y,chin_x,chin_y"
    with refused("'x1'", "'nose_x'", "data.box_columns=[x1,y1,x2,y2]"):
        find(header)
    columns = find(header, boxes=["x1", "y1", "x2", "y2"])
    assert columns.boxes == [1, 2, 3, 4] and columns.points == [5, 6, 7, 8]
    with refused("data.box_columns=[x_1,y_1,x_2,y_2]"):
        find("image,x_1,y_1,x_2,y_2,p0_x,p0_y,p1_x,p1_y,p2_x,p2_y")


@pytest.mark.parametrize(
    "header",
    [
        "name,x_0,y_0,v_0,x_1,y_1,v_1",
        "name,0_x,0_y,0_visible,1_x,1_y,1_visible",
        "name,eye_x,eye_y,eye_visibility,nose_x,nose_y,nose_visibility",
    ],
)
def test_visibility_is_found(header):
    assert find(header)[:4] == (0, [1, 2, 4, 5], [], [3, 6])
    with refused("visibility"):
        find(header.rpartition(",")[0])


def test_numbered_columns_behind_unnamed_names_are_pairs():
    for name in (None, ""):
        for header in (",0,1,2,3", ",1,2,3,4"):
            assert find(header, name) == (0, [1, 2, 3, 4], [], [], [])
    for header in ("image,0,1,2,3", "image_id,1,2,3,4"):
        assert find(header) == (0, [1, 2, 3, 4], [], [], [])
    assert find("0,1,2,3,age,path").points == [0, 1, 2, 3]
    with refused("line 1", 3, "'0'", "'2'"):
        find("image,0,1,2")
    assert find("image,3,4,5,6").points == []


def test_axes_may_stand_before_or_behind_a_name():
    for header in ("image,x_nose,y_nose,x_left.eye,y_left.eye", "image,nose.x,nose.y,eye.x,eye.y"):
        assert find(header).points == [1, 2, 3, 4]
    columns = find("image,x_Nose,y_nose,V_NOSE,x_left.eye,y_left.eye,v_left.eye,x_offset,y_offset")
    assert columns == (0, [1, 2, 4, 5], [], [3, 6], ["Nose", "left.eye"])
    with refused("visibility", "point eye"):
        find("image,nose_x,nose_y,nose_v,Eye_x,Eye_y")


def test_names_that_end_in_numbers_are_names():
    columns = find("image,eye1_x,eye1_y,eye1_v,nose_x,nose_y,nose_v,eye2_x,eye2_y,eye2_v")
    assert columns == (0, [1, 2, 4, 5, 7, 8], [], [3, 6, 9], ["eye1", "nose", "eye2"])
    assert find("image,eye0_x,eye0_y,eye1_x,eye1_y,tip0_x,tip0_y").names == ["eye0", "eye1", "tip0"]
    for header in (
        "image,gt_0_x,gt_0_y,pred_0_x,pred_0_y",  # two versions of one thing
        "image,p_0_x,p_0_y,p_1_x,p_1_y,p_2_x,p_2_y,bbox_0_x,bbox_0_y,bbox_1_x,bbox_1_y",
        "image,x_nose,y_nose,nose_x,nose_y",
    ):
        with refused("data.box_columns="):
            find(header)


@pytest.mark.parametrize(
    ("header", "row", "column"),
    [
        (",nose_x,nose_y", "a.png,1,2", 0),
        ("nose_x,nose_y,picture", "1,2,sub/a b.jpeg", 2),
        (",picture,nose_x,nose_y", "0,a.png,1,2", 1),
        ("who,picture,nose_x,nose_y", "Ann,a.png,1,2", 1),
        ("who,nose_x,nose_y", "Ann,1,", 0),
    ],
)
def test_file_names_are_known_by_the_first_row(header, row, column):
    assert find(header, first=row.split(",")).name == column


def test_several_columns_of_file_names_are_asked_about():
    for row in ("Ann,Basle,1,2", "a.png,b.png,1,2", "7,8,1,2"):
        with refused("data.name_column=COLUMN") as told:
            find("first,second,nose_x,nose_y", first=row.split(","))
        assert ("'first', 'second'" in str(told.value)) == (row[0] != "7")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("what,x_0,y_0", ["data.name_column"]),
        (",0,1,2", ["t.csv"]),
        ("a.png,1.5,-2", ["'1.5'"]),
        ("file_name x_0 y_0", ["TABs"]),
    ],
)
def test_a_header_without_names_is_refused_with_what_to_do(header, said):
    with refused("line 1", *said):
        find(header)


def test_hidden_points_of_a_table_are_not_learned(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    rows = ["a.png,10,20,1,30,40,2", "a.png,0,0,0,31,41,2", "a.png,12,22,1,-1,-1,0"]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["name,x_0,y_0,v_0,x_1,y_1,v_1", *rows]) + "\n")
    points = read_faces(str(path), "").points
    gone = [np.nan, np.nan]
    known = [[[10, 20], [30, 40]], [gone, [31, 41]], [[12, 22], gone]]
    assert np.array_equal(points, known, equal_nan=True)
    path.write_text(path.read_text().replace("31,41,2", "31,41,0"))
    with refused("1 point", "v=0", "data.hidden"):
        read_faces(str(path), "")
    for hidden, x in (("missing", np.nan), ("labelled", 31)):
        points = read_faces(str(path), "", hidden=hidden).points
        assert np.array_equal(points[1, 1, 0], x, equal_nan=True)


def test_negative_points_in_pts_files_count_from_the_file_s_own_origin(write, parts, tmp_path):
    module, settings = write("ibug", tmp_path, parts)
    path = tmp_path / "helen/trainset/0ü.pts"
    lines = path.read_text().split("\n")
    lines[3], lines[4] = "-1 -1", "-1 -1"
    path.write_text("\n".join(lines))
    with refused("2 points", "(-1, -1)", "data.missing=-1"):
        module.read_faces(**settings)
    points = module.read_faces(**settings, missing=-1).points
    known = parts["train"].points
    known[0, :2] = np.nan
    assert np.array_equal(points, known, equal_nan=True)
