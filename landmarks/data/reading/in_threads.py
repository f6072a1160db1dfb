"""Work on blocks in threads, in order and only a few blocks ahead."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from landmarks.machine import count_cores

MAX_THREADS = 8


def map_in_order(work: Callable, blocks: Iterable) -> Iterator:
    """Yield work(block) of each block, in order, made on all cores a few blocks ahead.

    It helps where `work` lets go of Python's lock, as pandas' parser does.
    """
    threads = min(count_cores(), MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        blocks = iter(blocks)
        while True:
            for block in itertools.islice(blocks, threads + 1 - len(waiting)):
                waiting.append(pool.submit(work, block))
            if not waiting:
                return
            yield waiting.popleft().result()
