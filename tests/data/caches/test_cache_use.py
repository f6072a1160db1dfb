import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landmarks.data.caches.cache_folder import cached
from landmarks.data.caches.cache_use import (
    NOTE,
    claim,
    hold,
    list_caches,
    read_note,
    release,
    remove,
)


def make(folder, size=5000, days=0.0, note=None):
    claim(folder, note or {"path": "/faces", "version": 1})
    (folder / "thing").write_bytes(bytes(size))
    when = time.time() - days * 86_400
    os.utime(folder / NOTE, (when, when))
    release()
    return folder


def test_caches_are_listed_longest_unused_first(tmp_path):
    new, old = make(tmp_path / "labels/a"), make(tmp_path / "canvas/b", 50_000, days=9)
    found = list_caches(tmp_path)
    assert [entry.folder for entry in found] == [old, new]
    assert found[0].name == "canvas/b" and found[0].note["path"] == "/faces"
    assert found[0].size >= 50_000 and 8.9 < (time.time() - found[0].used) / 86_400 < 9.1


def test_only_what_is_ours_is_listed(tmp_path):
    ours = make(tmp_path / "labels/a")
    (tmp_path / "photos/holiday").mkdir(parents=True)
    (tmp_path / "photos/holiday/a.jpg").write_bytes(b"")
    (tmp_path / "photos/a.txt").write_text("")
    make(tmp_path / "photos/notes", note={"mine": 1})
    (tmp_path / "photos/list").mkdir()
    (tmp_path / "photos/list" / NOTE).write_text("[1]")
    (tmp_path / "labels/link").symlink_to(ours)
    make(tmp_path / "labels/.1.2@host~b")  # under way
    before = tmp_path / "canvas/before-there-were-notes"
    before.mkdir(parents=True)
    for name in ("pixels", "matrices", "stamps"):
        (before / name).write_bytes(b"")
    assert {entry.folder for entry in list_caches(tmp_path)} == {ours, before}
    assert list_caches(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError):
        list_caches(tmp_path)


def test_use_is_marked(tmp_path):
    folder = make(tmp_path / "labels/a", days=9)
    assert hold(folder) and time.time() - (folder / NOTE).stat().st_mtime < 60
    assert not hold(tmp_path / "labels/gone")


def test_what_is_in_use_stays(tmp_path):
    folder = make(tmp_path / "labels/a")
    assert hold(folder)
    assert not remove(folder) and (folder / "thing").exists()
    release()
    assert remove(folder) and not list(folder.parent.iterdir())


def test_what_another_process_uses_stays_until_it_ends(tmp_path):
    folder = make(tmp_path / "labels/a")
    code = (
        "import sys; from pathlib import Path; from landmarks.data.caches.cache_use import hold;"
        "print(hold(Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], **pipes) as other:
        assert other.stdout.readline() == b"True\n"
        assert not remove(folder)
        other.communicate()
    assert remove(folder)


def test_a_run_keeps_what_another_one_would_replace():
    source = {"path": "/faces.csv", "size": 1, "version": 1}

    def build(folder):
        (folder / "thing").write_text("made")
        return {}

    mine, _ = cached("kind", source, build)
    newer, _ = cached("kind", {**source, "size": 2}, build)
    assert mine.is_dir() and newer.is_dir()
    release()
    newest, _ = cached("kind", {**source, "size": 3}, build)
    assert [entry.folder for entry in list_caches(mine.parents[1])] == [newest]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_note_is_none(tmp_path, text):
    (tmp_path / NOTE).write_text(text)
    assert read_note(tmp_path) is None


def test_without_locks_what_was_used_today_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("landmarks.data.caches.cache_use.fcntl", None)
    new, old = make(tmp_path / "labels/a"), make(tmp_path / "labels/b", days=2)
    assert not remove(new) and remove(old) and Path(new).is_dir()


def test_a_claimed_folder_says_what_it_holds(tmp_path):
    for _ in range(2):
        claim(tmp_path / "canvas/a", {"path": "/faces", "version": 2})
    assert json.loads((tmp_path / "canvas/a" / NOTE).read_text()) == {
        "path": "/faces",
        "version": 2,
    }
