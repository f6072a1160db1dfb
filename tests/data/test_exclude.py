"""data.exclude leaves named training faces out, and no test face."""

import pytest
from refusals import refused

from landmarks.data.exclude import read_names
from landmarks.data.formats.thousand import read_faces
from landmarks.errors import UserError


@pytest.fixture
def made(contest):
    return contest(train=6, test=3)


def write(tmp_path, text, name="suspects.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


@pytest.mark.parametrize("form", ["check", "excel", "names", "tsv", "list", "bom list", "spelled"])
def test_named_faces_are_left_out(made, tmp_path, form):
    a, b, c = made.names[1], made.names[4], made.names[5]
    text = {
        "check": f"name,reason,score,level,part,detail\n{a},shifted,9,error,train,\n"
        f"{c},outside,1,warning,train,\n{c},corrupt,1,error,test,\n{b},corrupt,1,error,train,x\n",
        "names": f"file_name\n{b}\n{a}\n",
        "tsv": f"name\treason\n{b}\tx, y\n{a}\tz\n",
        "excel": f"\ufeffname;reason;score;level;part;detail\r\n{a};shifted;9,5;error;train;\r\n"
        f"{c};outside;1;warning;train;\r\n{b};corrupt;1;error;train;x\r\n;;;;;\r\n",
        "spelled": f"file_name\n./{b}\n.//{a}\n",
        "bom list": f"\ufeff{a}\r\n{b} \r\n",
        "list": f"{b}\n\n{a}\n",
    }[form]
    faces = read_faces(str(made.root), exclude=write(tmp_path, text))
    assert faces.rows.tolist() == [0, 2, 3, 5] and len(faces) == 6
    test = read_faces(str(made.root), part="test", exclude=write(tmp_path, text))
    assert len(test.rows) == 3


def test_an_unreadable_image_that_is_left_out_stops_nothing(made, tmp_path):
    (made.root / "train/images" / made.names[1]).write_bytes(b"no image")
    (made.root / "train/images" / made.names[2]).unlink()
    with pytest.raises(UserError, match="2 of 6 images"):
        read_faces(str(made.root))
    file = write(tmp_path, f"{made.names[1]}\n{made.names[2]}\n", "list.txt")
    assert read_faces(str(made.root), exclude=file).rows.tolist() == [0, 3, 4, 5]
    file = write(tmp_path, f"{made.names[1]}\n", "list.txt")
    with pytest.raises(UserError, match="1 missing, 0 unreadable"):
        read_faces(str(made.root), exclude=file)


def test_names_that_are_unknown_are_counted(made, tmp_path, caplog):
    faces = read_faces(str(made.root), exclude=write(tmp_path, "elsewhere.jpg\n"))
    assert len(faces.rows) == 6 and "1 of 1 name in" in caplog.text


def test_wrong_files_are_refused(made, tmp_path):
    with refused("none.csv"):
        read_faces(str(made.root), exclude=str(tmp_path / "none.csv"))
    with refused("name"):
        read_names(write(tmp_path, "image,score\na.jpg,1\n"))
    with refused("data.exclude=", "suspects.csv"):
        read_faces(str(made.root), exclude=write(tmp_path, "\n".join(made.names)))
