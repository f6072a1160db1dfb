"""Signals: the first is acted on once, echoes are not, and what was ignored stays so."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from landmarks import interrupt
from landmarks.interrupt import SIGNALS, Interrupted, graceful_stop, tidy_end


@pytest.fixture(autouse=True)
def not_ignored():
    """A run in the background of a shell begins with some of the signals ignored."""
    before = {n: signal.signal(n, signal.default_int_handler) for n in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(interrupt, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_is_collected_and_handlers_come_back(number):
    before = [signal.getsignal(n) for n in SIGNALS]
    with graceful_stop() as stop:
        assert stop.signal is None
        send(number)
        assert stop.signal == number and stop.exit_code == 128 + number
    assert before == [signal.getsignal(n) for n in SIGNALS]


def test_a_signal_to_the_process_and_its_group_is_one(clock):
    with tidy_end(), graceful_stop() as stop:
        send(signal.SIGTERM)
        clock.seconds += 0.5
        send(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM


def test_a_second_one_ends_at_once(clock):
    with pytest.raises(Interrupted) as ended, tidy_end(), graceful_stop() as stop:
        send(signal.SIGINT)
        clock.seconds += 2
        send(signal.SIGTERM)
    assert stop.signal == signal.SIGINT and ended.value.exit_code == 143


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with graceful_stop() as stop:
            send(signal.SIGINT)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_set_no_handlers():
    stops = []

    def work():
        with graceful_stop() as stop, tidy_end():
            stops.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stops[0].signal is None


def test_batches_end_at_a_stop_and_one_comes_always():
    with graceful_stop() as stop:
        assert list(stop.checked(range(3))) == [0, 1, 2]
        send(signal.SIGTERM)
        assert list(stop.checked(range(3))) == [0]
