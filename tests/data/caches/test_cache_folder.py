import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from refusals import refused

from landmarks.data.caches.cache_folder import NOTE, cached, default_cache, describe_source
from landmarks.data.caches.cache_use import release
from landmarks.errors import UserError

SOURCE = {"path": "/somewhere/file", "size": 3}


def builder(text="made"):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "thing").write_text(text)
        return {"letters": len(text)}

    return build, calls


def test_default_cache(monkeypatch):
    monkeypatch.setenv("LANDMARKS_CACHE", "/a/b")
    assert default_cache() == Path("/a/b")
    monkeypatch.delenv("LANDMARKS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert default_cache() == Path("/c/landmarks")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache/landmarks"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for name in ("LANDMARKS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(UserError, match=r"set LANDMARKS_CACHE.*data\.cache_dir=FOLDER"):
        default_cache()


def test_a_source_that_may_not_be_read_is_not_the_caches_fault(tmp_path):
    def build(folder):
        raise PermissionError(13, "Permission denied", str(tmp_path / "labels.csv"))

    with refused("labels.csv", "Permission denied"):
        cached("kind", SOURCE, build)


def test_a_file_that_a_power_cut_left_empty_is_made_again():
    build, calls = builder()
    folder, _ = cached("kind", SOURCE, build)
    (folder / "thing").write_text("")
    assert cached("kind", SOURCE, build)[0] == folder and len(calls) == 2
    assert (folder / "thing").read_text() == "made"


def test_built_once(cache):
    build, calls = builder()
    folder, note = cached("kind", SOURCE, build)
    assert (folder / "thing").read_text() == "made"
    assert folder.parent == cache / "kind"
    assert note == {**SOURCE, "letters": 4, "sizes": {"thing": 4}}
    assert cached("kind", SOURCE, build) == (folder, note)
    assert len(calls) == 1


def test_cache_dir_is_used_when_named(cache, tmp_path):
    folder, _ = cached("kind", SOURCE, builder()[0], str(tmp_path / "mine"))
    assert folder.parent == tmp_path / "mine/kind"
    assert not any(cache.iterdir())


def test_a_changed_source_replaces_only_its_own_folder(cache):
    other, _ = cached("kind", {**SOURCE, "path": "/other"}, builder()[0])
    old, _ = cached("kind", SOURCE, builder()[0])
    release()
    new, note = cached("kind", {**SOURCE, "size": 4}, builder("again")[0])
    assert note["size"] == 4 and (new / "thing").read_text() == "again"
    assert sorted((cache / "kind").iterdir()) == sorted([other, new]) and old != new


@pytest.mark.parametrize("damage", ["", "{", "gone"])
def test_a_damaged_note_is_made_again(damage, caplog):
    folder, note = cached("kind", SOURCE, builder()[0])
    if damage == "gone":
        (folder / NOTE).unlink()
    else:
        (folder / NOTE).write_text(damage)
    assert cached("kind", SOURCE, builder("again")[0])[1] == {
        **note,
        "letters": 5,
        "sizes": {"thing": 5},
    }
    (record,) = caplog.records
    assert record.levelname == "WARNING" and str(folder) in record.getMessage()


def test_what_is_not_whole_is_made_again():
    def is_whole(folder, note):
        return len((folder / "thing").read_text()) == note["letters"]

    build, calls = builder()
    folder, _ = cached("kind", SOURCE, build, is_whole=is_whole)
    (folder / "thing").write_text("ma")
    again, _ = cached("kind", SOURCE, build, is_whole=is_whole)
    assert again == folder and (folder / "thing").read_text() == "made" and len(calls) == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UserError])
def test_a_failed_build_leaves_nothing(cache, error):
    def build(folder):
        (folder / "half").write_text("half")
        raise error("no")

    with pytest.raises(error, match="no"):
        cached("kind", SOURCE, build)
    assert not list((cache / "kind").iterdir())


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with refused("data.cache_dir=FOLDER"):
        cached("kind", SOURCE, builder()[0], str(tmp_path / "file"))


def test_two_builders_at_once_both_succeed(cache):
    both = threading.Barrier(2, timeout=30)

    def build(folder):
        both.wait()
        (folder / "thing").write_text("made")
        return {"letters": 4}

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: cached("kind", SOURCE, build), range(2))
    assert first == second and (first[0] / "thing").read_text() == "made"
    assert list((cache / "kind").iterdir()) == [first[0]]


def test_describe_source_sees_every_change(tmp_path):
    file = tmp_path / "file"
    file.write_text("abc")
    before = describe_source(file, 1)
    assert before == describe_source(file, 1) and before["path"] == str(file.resolve())
    assert describe_source(file, 2) != before
    file.write_text("abcd")
    assert describe_source(file, 1) != before
