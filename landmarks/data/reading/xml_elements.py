"""XML files element by element, in bounded memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from xml.parsers import expat

from landmarks.data.reading.text_file import refuse_binary
from landmarks.errors import UserError

CHUNK = 1 << 16  # bytes parsed at once
T = TypeVar("T")


def read_elements(
    path: Path,
    found: list[T],
    start: Callable[[str, dict[str, str], str], Any],
    end: Callable[[str, str], Any],
) -> Iterator[T]:
    """Yield what `start` and `end` add to `found`, in order, and take it out of there.

    Args:
        start: is given each element's tag, attributes, and place, "FILE, line 3".
        end: is given the tag and place of its end.

    Raises:
        UserError: with the line, if the file is no XML.
    """
    refuse_binary(path)
    parser = expat.ParserCreate()

    def where() -> str:
        return f"{path}, line {parser.CurrentLineNumber}"

    parser.StartElementHandler = lambda tag, written: start(tag, written, where())
    parser.EndElementHandler = lambda tag: end(tag, where())
    with path.open("rb") as file:
        try:
            while chunk := file.read(CHUNK):
                parser.Parse(chunk)
                yield from found
                found.clear()
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise UserError(
                f"{path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})."
            ) from error
        except LookupError as error:  # of Python, which is asked for encodings unknown to expat
            raise UserError(
                f"{where()}: the encoding is none that is known ({error}); save it as UTF-8 text."
            ) from error
    yield from found
