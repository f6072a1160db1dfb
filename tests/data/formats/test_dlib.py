"""dlib's XML as imglab and its data sets write it."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.dlib import read_faces

FILE = """<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset>
<name>faces</name>
<images>
  <image file='a.png' width='64' height='64'>
    <box top='8' left='4' width='20' height='30'>
      <part name='01' x='7' y='12'/>
      <part name='00' x='5' y='10'/>
      <part name='10' x='9' y='14'/>
    </box>
    <box top='8' left='40' width='20' height='30' ignore='1'/>
    <box top='8' left='30' width='20' height='30'><part name='10' x='39' y='14'/></box>
  </image>
  <image file='b.png'>
    <box top='1' left='2' width='3' height='4'/>
  </image>
</images>
</dataset>
"""


@pytest.fixture
def read(tmp_path):
    """Write the file, with changes, beside its images; return its faces."""

    def read(*changes, part="train"):
        text = FILE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / name), np.full((64, 64, 3), 99, np.uint8))
        (tmp_path / "t.xml").write_text(text, encoding="latin-1")
        path = str(tmp_path / "t.xml")
        return read_faces(path, path, part=part)

    return read


def test_each_box_with_parts_is_a_face(read, caplog):
    faces = read()
    gone = [np.nan, np.nan]
    known = [[[5, 10], [7, 12], [9, 14]], [gone, gone, [39, 14]]]
    assert np.array_equal(faces.points, known, equal_nan=True)
    assert list(faces.point_names) == ["00", "01", "10"]  # with a gap, a number is a name
    assert faces.boxes.tolist() == [[3.5, 7.5, 23.5, 37.5], [29.5, 7.5, 49.5, 37.5]]
    assert [faces.name(row) for row in range(2)] == ["a.png", "a.png"]
    assert "Left out 2 of 4 boxes" in caplog.text
    test = read(part="test")
    assert [test.name(row) for row in range(3)] == ["a.png", "a.png", "b.png"]


def test_names_of_parts_are_kept(read):
    faces = read(("='00'", "='left eye'"), ("='01'", "='nose'"), ("name='10'", "name='right eye'"))
    assert faces.point_names == ["left eye", "nose", "right eye"]  # in any file of these names
    assert faces.points[0].tolist() == [[5, 10], [7, 12], [9, 14]]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("x='7'", "x='7,5'", ("line 8, part '01', x", "'7,5'")),
        ("x='7' ", "", ("line 8, part '01', x", "'none'")),
        ("left='4' ", "", ("line 7, left", "'none'")),
        ("'01'", "'00'", ("line 9", "part")),
        ("'a.png'", "'../a.png'", ("line 6", "'../a.png'")),
        ("</dataset>", "", ("line", "XML")),
        ("<part", "<dot", (4,)),
        ("ISO-8859-1", "ISO-8859-99", ("line 1", "ISO-8859-99")),
    ],
)
def test_a_malformed_file_is_refused(read, old, new, named):
    with refused("t.xml", *named):
        read((old, new))


def test_folders_of_images_that_are_not_there_are_told_with_their_settings(tmp_path):
    (tmp_path / "t.xml").write_text(FILE, encoding="latin-1")
    for part, given, named in (
        ("train", {"images": "nowhere"}, "data.images=FOLDER"),
        ("test", {"test_images": "nowhere"}, "data.test_images=FOLDER"),
    ):
        with refused("nowhere", named):
            read_faces(*[str(tmp_path / "t.xml")] * 2, **given, part=part)
