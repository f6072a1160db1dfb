"""What the processes that are not the first one do with what it tells them."""

from dataclasses import dataclass

import pytest

from landmarks.cli import leader_rank as ranks
from landmarks.distributed import rank_messages
from landmarks.errors import UserError


@dataclass(frozen=True)
class Settings:
    seed: int


def test_a_process_that_was_stopped_waits_until_the_first_one_has_saved(monkeypatch):
    """Launchers end the others as soon as one has ended."""
    told, done = {"start": ranks.describe_start(["train"]), "job/1": {"seed": 3}}, []

    def hear(key, what, seconds=0.0):
        done.append(key)
        return told.get(key)

    def train(settings: Settings) -> int:
        done.append(settings.seed)
        return 143

    monkeypatch.setattr(rank_messages, "meet", lambda: None)
    monkeypatch.setattr(rank_messages, "hear", hear)
    monkeypatch.setattr(ranks, "load_command", lambda command: train)
    assert ranks.follow(["train"], None) == 143
    assert done == ["start", "job/1", 3, "job/2"]


def test_a_store_that_has_gone_is_not_asked_again(monkeypatch):
    asked = []

    class Gone:
        def check(self, keys):
            asked.append(keys)
            raise RuntimeError("Broken pipe")

        def set(self, key, value):
            raise RuntimeError("Broken pipe")

    monkeypatch.setattr(rank_messages._here, "store", Gone())
    monkeypatch.setattr(rank_messages, "is_main", lambda: False)
    assert rank_messages.fail("The disk is full.") is False
    assert asked.count(["failed"]) == 1 and rank_messages.failures() == {}


def test_another_version_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("one = 1\n")
    monkeypatch.setattr(ranks, "files", lambda name: tmp_path)
    leading = ranks.describe_start(["train"])
    monkeypatch.setattr(rank_messages, "hear", lambda key, what: leading)
    ranks._refuse_others(ranks.describe_start(["train"]))
    (tmp_path / "a.py").write_text("one = 2\n")
    own = ranks.describe_start(["train"])
    with pytest.raises(UserError) as refused:
        ranks._refuse_others(own)
    assert own["version"] in str(refused.value) and leading["version"] in str(refused.value)
