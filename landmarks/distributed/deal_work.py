"""Pieces of work that are dealt out among the ranks, one by one, and merged in order by rank 0.

A piece, such as a batch, is done whole by one rank: so its numbers are those of one process.
Imports no torch where there is one process.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from landmarks.distributed.processes import is_main, rank, world
from landmarks.distributed.rank_messages import BUILD_SECONDS
from landmarks.errors import UserError

Piece = TypeVar("Piece")


@contextmanager
def dealing() -> Iterator[None]:
    """Let all ranks merge pieces in this context, through their hosts; in one within it, as there.

    Raises:
        Lost: if another process fails meanwhile, or does not come in time.
    """
    if world() == 1:
        yield
        return
    from torch import device

    from landmarks.distributed import collectives

    if collectives.are_joined():
        yield
        return
    with collectives.joined(device("cpu"), BUILD_SECONDS):
        yield


def deal(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Return this rank's pieces: of N ranks every N-th."""
    return pieces[rank() :: world()]


def merge(own: Iterable[Piece], count: int, everywhere: bool = False) -> Iterator[Piece]:
    """Yield all pieces in order, on rank 0; the others yield nothing and hand theirs over.

    A rank begins its next piece when all have finished the last one.

    Args:
        own: yields this rank's pieces, those of `deal`; plain data or arrays.
        count: of all pieces.
        everywhere: the others yield them, too.

    Raises:
        Lost: if another process fails meanwhile.
    """
    if world() == 1:
        yield from own
        return
    from landmarks.distributed.collectives import gather

    own = iter(own)
    for first in range(0, count, world()):
        mine = next(own) if first + rank() < count else None
        yield from gather(mine, everywhere)[: count - first]


def refuse_several(what: str) -> None:
    """Refuse what one process does, where several were started.

    Args:
        what: and why, the beginning of a sentence.

    Raises:
        UserError: then.
    """
    if world() > 1:
        raise UserError(f"{what}, and {world()} were started: start one, without gpus=.")


def hand_over(pieces: Iterable) -> None:
    """Do this rank's pieces of `merge`, for rank 0, and nothing else."""
    assert not is_main()
    for _ in pieces:
        pass
