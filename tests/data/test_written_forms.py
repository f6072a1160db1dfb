"""Every reader, on files as different systems write and keep them."""

import unicodedata

import numpy as np
import pytest

from landmarks.errors import UserError

TEXTS = (".pts", ".txt", ".json", ".xml", ".csv", ".tsv", ".yaml")


def by_name(faces):
    """Return name -> points of faces, whatever their order."""
    return {unicodedata.normalize("NFC", faces.name(row)): faces.points[row] for row in faces.rows}


def assert_same(found, known):
    assert found.keys() == known.keys()
    for name, points in known.items():
        assert np.allclose(found[name], points, rtol=0, atol=0.001, equal_nan=True), name


@pytest.mark.parametrize("form", ["windows", "two folders", "a mac's images"])
def test_faces_are_the_same_in_every_form(form, write, parts, tmp_path):
    names = "ibug wflw coco dlib table-csv points yolo cvat labelme label_studio"
    for name in names.split():
        known = parts["train"]
        if form == "two folders":
            known.names[1] = "afw/trainset/0ü.png"
        root = tmp_path / name
        root.mkdir()
        module, settings = write(name, root, parts)
        files = [path for path in root.rglob("*") if path.is_file()]
        for path in files:
            if form == "windows" and path.suffix in TEXTS:  # line ends, and a byte order mark
                text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
                path.write_text(text, encoding="utf-8-sig", newline="")
            elif form == "a mac's images" and path.suffix == ".png":
                path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
        before = sorted(root.rglob("*"))
        expected = dict(zip(known.names, known.points, strict=True))
        try:
            assert_same(by_name(module.read_faces(**settings)), expected)
        except UserError as error:  # the difference is said, where it is not bridged
            assert form == "a mac's images"
            assert not unicodedata.is_normalized("NFC", str(error))  # the file that is there
        assert sorted(root.rglob("*")) == before  # nothing is written beside the data
