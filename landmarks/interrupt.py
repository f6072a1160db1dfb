"""Ctrl-C, SIGTERM, SIGHUP: a training finishes its step and saves; other work cleans up."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
SAME_SIGNAL_SECONDS = 1.0  # `timeout` signals a process, then its group: that is one stop


class Stop:
    """Whether a stop was asked for, and by which signal."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The shell's code for a process ended by that signal: 130 or 143."""
        return 128 + (self.signal or 0)

    def checked(self, batches: Iterable) -> Iterator:
        """Yield batches until a stop is asked for, at least one."""
        for batch in batches:
            yield batch
            if self.signal is not None:
                return


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; it cleans up as after Ctrl-C."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def graceful_stop() -> Iterator[Stop]:
    """Record the first signal instead of ending; a second one ends at once."""
    stop = Stop()
    with _at_first_signal(lambda number: setattr(stop, "signal", number)):
        yield stop


@contextmanager
def tidy_end() -> Iterator[None]:
    """Raise `Interrupted` at the first signal in this context; a second one ends at once."""

    def end(number: int) -> None:
        raise Interrupted(number)

    with _at_first_signal(end):
        yield


@contextmanager
def unheard() -> Iterator[None]:
    """Block the signals in processes that are started in this context.

    A signal may reach a whole group of processes. This process saves, then ends its children.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _at_first_signal(act: Callable[[int], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    # Ignored signals stay ignored: `nohup` or a script's `&` asked for that.
    before = {
        number: handler
        for number in SIGNALS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    heard = -math.inf

    def handle(number, frame) -> None:
        nonlocal heard
        if heard == -math.inf:
            heard = time.monotonic()
            act(number)
        elif time.monotonic() - heard > SAME_SIGNAL_SECONDS:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
