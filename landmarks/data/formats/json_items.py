"""JSON files: whole ones, and long lists item by item in bounded memory."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from landmarks.data.text_file import read_text, refuse_binary
from landmarks.errors import UserError

CHUNK = 1 << 20  # bytes read at once
NEAR = 64  # characters of a buffer's end, in which an error may be the buffer's
BLANKS = re.compile(r"[\s,]*")


def read_json(path: Path, change: Callable[[dict], Any] | None = None) -> Any:
    """Return the content of a JSON file.

    Args:
        change: returns what takes the place of each object; None: objects are dicts.

    Raises:
        UserError: with line and column, if it is not JSON, or was cut off.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_hook=change)
    except json.JSONDecodeError as error:
        end = len(text.rstrip()) - len("false")  # or within a word
        is_cut = error.pos > end or error.msg.startswith("Unterminated")
        if is_cut and text.lstrip()[:1] in ("{", "["):
            raise UserError(
                f"{path} is JSON that ends in its middle, behind '{text.rstrip()[-30:]}': it was "
                f"not written or copied whole; get it again."
            ) from error
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})."
        ) from error
    except RecursionError as error:
        raise UserError(f"{path}: its lists are nested too deeply for labels.") from error


def read_items(path: Path) -> Iterator[Any]:
    """Yield the items of the list that a JSON file holds, one at a time.

    Raises:
        UserError: with line and column, if it is not JSON, no list, or was cut off.
    """
    refuse_binary(path)
    decoder, buffer = json.JSONDecoder(), _Buffer(path)
    with path.open("rb") as file:
        buffer.file = file
        buffer.fill()
        if buffer.text.lstrip()[:1] != "[":
            raise UserError(f"{path}: a list of pictures belongs at its top.")
        buffer.drop(buffer.text.index("[") + 1)
        while True:
            buffer.drop(BLANKS.match(buffer.text).end())
            if not buffer.text and buffer.fill():
                continue
            if buffer.text[:1] == "]":
                return
            try:
                item, end = decoder.raw_decode(buffer.text)
            except json.JSONDecodeError as error:
                is_end = error.pos > len(buffer.text) - NEAR
                if (is_end or error.msg.startswith("Unterminated")) and buffer.fill():
                    continue
                raise buffer.refuse(error) from error
            except RecursionError as error:
                raise UserError(f"{path}: its lists are nested too deeply for labels.") from error
            yield item
            buffer.drop(end)


class _Buffer:
    """The text of a file from some place on, as far as it has been read."""

    def __init__(self, path: Path):
        self.path, self.file = path, None
        self.text, self.line, self.column = "", 1, 1
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def fill(self) -> bool:
        """Read as much again as there is, and at least a chunk; say whether there was more."""
        data = self.file.read(max(CHUNK, len(self.text)))
        try:
            more = self.decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self.line + self.text.count("\n") + data.count(b"\n", 0, error.start)
            raise UserError(
                f"{self.path}, line {line}: not UTF-8; save it as UTF-8 text."
            ) from error
        self.text += more
        return bool(data)

    def drop(self, count: int) -> None:
        gone = self.text[:count]
        lines = gone.count("\n")
        self.line += lines
        self.column = len(gone) - gone.rfind("\n") if lines else self.column + len(gone)
        self.text = self.text[count:]

    def refuse(self, error: json.JSONDecodeError) -> UserError:
        """Return what to say of an error that is the file's."""
        if error.pos > len(self.text.rstrip()) - len("false") or "Unterminated" in error.msg:
            return UserError(
                f"{self.path} is JSON that ends in its middle, behind '{self.text.rstrip()[-30:]}':"
                f" it was not written or copied whole; get it again."
            )
        self.drop(error.pos)
        return UserError(
            f"{self.path}, line {self.line}, column {self.column}: not JSON ({error.msg})."
        )
