"""Ctrl-C and SIGTERM asked for: finish the step, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether a stop was asked for, and by which signal."""

    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The shell's code for a process ended by that signal: 130 or 143."""
        return 128 + (self.signal or 0)


@contextmanager
def graceful_stop() -> Iterator[Stop]:
    """Collect the first SIGINT or SIGTERM instead of ending; a second one ends at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number, frame) -> None:
        stop.signal = number
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
