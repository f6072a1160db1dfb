"""Reading processes: no more than there is room for, and one sentence where they fail."""

import shutil
from types import SimpleNamespace

import pytest
from refusals import refused

from landmarks.data.batches import worker_processes as readers
from landmarks.data.batches.worker_processes import count_readers, explain_readers


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """Give shared memory so many bytes, on a system that counts no open files."""

    def there_is(free):
        monkeypatch.setattr(readers, "SHARED_MEMORY", tmp_path)
        monkeypatch.setattr(readers, "OPEN_FILES", tmp_path / "nowhere")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    return there_is


@pytest.mark.parametrize(("free", "count"), [(1 << 30, 8), (64 << 20, 3), (1 << 16, 0)])
def test_no_more_than_shared_memory_has_room_for(shared, free, count, caplog):
    shared(free)
    assert count_readers(8, 32 * 3 * 160**2) == count
    assert ("docker run --shm-size=8g" in caplog.text) == (count < 8)


def test_no_more_than_files_may_be_open(monkeypatch, tmp_path, caplog):
    resource = pytest.importorskip("resource")
    (tmp_path / "0").touch()
    monkeypatch.setattr(readers, "SHARED_MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr(readers, "OPEN_FILES", tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (40, 40))
    assert count_readers(8, 1000) == 2
    assert "ulimit -n" in caplog.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Too many open files. Communication with the workers is no"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error."), "shm-size"),
        (RuntimeError("unable to write to file </torch_3_4>: No space left (28)"), "shm-size"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), "batch_size"),
        (RuntimeError("DataLoader worker (pid(s) 3) exited unexpectedly"), "/dev/shm"),
        (OSError(28, "No space left on device"), "No space"),
    ],
)
def test_failures_are_one_sentence(error, said):
    with refused(said, "workers=2"), explain_readers(4):
        raise error
    with pytest.raises(type(error)), explain_readers(0):  # nobody else reads
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), explain_readers(4):
        raise RuntimeError("shapes do not match")
