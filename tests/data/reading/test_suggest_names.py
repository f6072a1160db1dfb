"""A file that is missing under one name, and is there under nearly the same."""

import os
import unicodedata

import pytest

from landmarks.data.reading import suggest_names
from landmarks.data.reading.suggest_names import say_near, say_near_files

NEAR = {
    "backslash": ("img\\a.png", "img/a.png", "/ for \\"),
    "dot": ("./img/a.png", "img/a.png", "/ for \\"),
    "capitals": ("a.png", "a.PNG", "capitals"),
    "folder's capitals": ("IMG/a.png", "img/a.png", "capitals"),
    "accents": ("André.png", unicodedata.normalize("NFD", "André.png"), "Unicode"),
    "blank behind": ("a.png ", "a.png", "blanks"),
    "no ending": ("a", "a.png", "ending"),
    "another ending": ("a.jpeg", "a.jpg", "ending"),
    "another folder": ("a.png", "deep/er/a.png", "folder"),
    "much": (
        "IMG\\A.jpg",
        "b/a.png",
        "/ for \\ and in other capitals and with another ending and in another folder",
    ),
}


@pytest.mark.parametrize(("name", "near", "how"), NEAR.values(), ids=NEAR)
def test_the_near_match_is_named_with_what_differs(name, near, how):
    said = say_near(["none", name], ["x.png", near, "y/z.png"])
    assert f"'{near}' for '{name}'" in said and how in said and "(1 such)" in said
    assert how.count(" and ") == said.count(" and ")


def test_all_matches_are_counted_and_none_is_invented(tmp_path):
    (tmp_path / "sub").mkdir()
    for i in range(3):
        (tmp_path / f"sub/{i}.PNG").touch()
    said = say_near_files(["sub\\0.png", "sub\\1.png", "9.png"], tmp_path)
    assert "'sub/0.PNG' for 'sub\\0.png'" in said and "(2 such)" in said
    assert "sub/0.PNG, sub/1.PNG" in say_near_files(["q"], tmp_path)
    (tmp_path / os.fsdecode(b"0\xe9.png")).touch()  # Latin-1
    assert say_near_files(["q"], tmp_path).encode()
    assert f"'{tmp_path / 'nowhere'}'" in say_near_files(["q"], tmp_path / "nowhere")


def test_of_many_missing_names_some_are_looked_for_and_all_counted(monkeypatch):
    folds = []
    monkeypatch.setattr(suggest_names, "_fold", lambda name, _: folds.append(name) or name.lower())
    say_near([f"{i}.png" for i in range(20_000)], ["a.png"])
    assert len(folds) < 10_000
    assert "(20000 such)" in say_near(
        [f"{i}.PNG" for i in range(20_000)], [f"{i}.png" for i in range(20_000)]
    )
