import sys
import time

import pytest

from landmarks.cli import main as cli
from landmarks.commands.training_run import training_inputs as inputs
from landmarks.data.batches.cached_crops import open_canvas
from landmarks.data.caches.cache_use import list_caches, release
from landmarks.data.formats.thousand import read_faces


@pytest.fixture
def kept(contest, cache, tmp_path, monkeypatch):
    """What a run leaves in the cache: labels, good images and a canvas."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    faces = read_faces(str(contest().root), cache="disk")
    open_canvas(faces, "letterbox", 32)
    release()
    return cache


def kinds(cache):
    return sorted(entry.name.partition("/")[0] for entry in list_caches(cache))


def test_it_lists_what_there_is_and_makes_nothing(kept, capsys, tmp_path):
    assert cli.main(["cache"]) == 0
    out = capsys.readouterr().out
    for text in ("labels/", "images/", "canvas/", "letterbox at 32 pixels", "3 caches", str(kept)):
        assert text in out
    assert out.count(str(tmp_path / "contest/train")) == 3 and time.strftime("%Y-%m-%d") in out
    assert kinds(kept) == ["canvas", "images", "labels"]
    assert not list((tmp_path / "here").iterdir())


def test_it_clears_what_is_asked_and_runs_make_it_again(kept, tmp_path):
    assert cli.main(["cache", "only=canvas/", "clear=true"]) == 0
    assert kinds(kept) == ["images", "labels"]
    assert cli.main(["cache", "unused_for=1", "clear=true"]) == 0
    assert kinds(kept) == ["images", "labels"]
    assert cli.main(["cache", "clear=true"]) == 0
    assert kinds(kept) == []
    faces = read_faces(str(tmp_path / "contest"), cache="disk")
    assert open_canvas(faces, "letterbox", 32).readable.all()
    assert kinds(kept) == ["canvas", "images", "labels"]


def test_it_leaves_what_a_run_uses(kept, tmp_path, capsys):
    faces = read_faces(str(tmp_path / "contest"), cache="disk")
    canvas = open_canvas(faces, "letterbox", 32)
    assert cli.main(["cache", "clear=true"]) == 0
    assert "Kept 3" in capsys.readouterr().out
    assert kinds(kept) == ["canvas", "images", "labels"] and canvas.pixels.any()


def test_a_wrong_word_removes_nothing_where_it_stands(kept, tmp_path, capsys):
    assert cli.main(["cache", "unused_for=-1"]) == 2
    assert cli.main(["cache", "cleer=true"]) == 2
    assert (tmp_path / "here").is_dir() and kinds(kept) == ["canvas", "images", "labels"]


def test_another_folder_of_caches(kept, tmp_path, capsys):
    assert cli.main(["cache", f"cache_dir={tmp_path / 'none'}"]) == 0
    assert "0 caches" in capsys.readouterr().out and not (tmp_path / "none").exists()


def test_a_file_in_place_of_the_folder_is_refused(kept, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["cache", f"cache_dir={tmp_path / 'file'}"]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_start_says_when_old_ones_take_much(kept, caplog, monkeypatch):
    monkeypatch.setattr(inputs, "MANY_BYTES", 100)
    inputs.say_old_caches(None)
    assert not caplog.text
    monkeypatch.setattr(inputs, "UNUSED_SECONDS", -1)
    inputs.say_old_caches(None)
    assert "`landmarks cache unused_for=30`" in caplog.text


def test_a_word_that_no_cache_has_is_refused_with_the_kinds_there_are(kept, capsys):
    assert cli.main(["cache", "only=cnavas", "clear=true"]) == 1
    said = capsys.readouterr().err
    for kind in ("canvas/", "images/", "labels/"):
        assert kind in said
    assert kinds(kept) == ["canvas", "images", "labels"]


def test_one_cache_is_counted_as_one(kept, capsys):
    assert cli.main(["cache", "only=canvas/"]) == 0
    assert "1 cache, " in capsys.readouterr().out
