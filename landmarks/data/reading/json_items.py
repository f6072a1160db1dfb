"""JSON files: whole ones, and long lists item by item in bounded memory."""

import codecs
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from landmarks.data.reading.text_file import read_text, refuse_binary
from landmarks.errors import UserError

CHUNK = 1 << 20  # bytes read at once
NEAR = 64  # characters of a buffer's end, in which an error may be the buffer's
BLANKS = re.compile(r"[ \t\n\r]*")
WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
# What may stand behind the last whole token of a text that was cut off: of a word, or of a number.
BEGUN = [word[:length] for word in WORDS for length in range(1, len(word))]
CUT = re.compile("|".join(["", *BEGUN, r"[.eE][+-]?"]))
TOO_LONG = "a number of thousands of digits belongs to no face; correct or remove it"


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
        if text.lstrip()[:1] in ("{", "["):
            raise _explain(path, text, error.pos, error.msg) from error
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})."
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: {TOO_LONG}.") from error
    except RecursionError as error:
        raise UserError(f"{path}: its lists are nested too deeply for labels.") from error


def read_items(path: Path) -> Iterator[Any]:
    """Yield the items of the list that a JSON file holds, one at a time.

    Raises:
        UserError: with line and column, if it is not JSON, no list, or was cut off.
    """
    with _open(path) as scan:
        if scan.peek() != "[":
            raise UserError(f"{path}: a list of images belongs at its top.")
        yield from scan.items()
        scan.end()


def read_members(path: Path, takers: dict[str, Callable[[Iterator[Any]], Any]]) -> dict[str, Any]:
    """Return members of the object that a JSON file holds; empty, if it holds none.

    Args:
        takers: by the members' names, what makes something of the items of a list, one at a time;
            what is no list is returned as it is, and other members are passed over.

    Raises:
        UserError: with line and column, if it is not JSON, or was cut off.
    """
    found = {}
    with _open(path) as scan:
        if scan.peek() != "{":
            scan.value()
            scan.end()
            return {}
        for key in scan.members():
            take = takers.get(key, lambda items: None)
            if key in takers and key in found:
                raise UserError(f"{path}: '{key}' stands at its top twice; leave one of them.")
            if scan.peek() == "[":
                items = scan.items()
                found[key] = take(items)
                deque(items, maxlen=0)
            else:
                found[key] = scan.value()
        scan.end()
    return {key: value for key, value in found.items() if key in takers}


def _explain(
    path: Path, text: str, at: int, reason: str, line: int = 1, column: int = 1
) -> UserError:
    """Return what to say of an error at a place of a text that begins at a line and column."""
    end = len(text.rstrip())
    if "Unterminated" in reason or ("\\u" in reason and at > end - len("\\u0000")):
        is_cut = True
    else:
        is_cut = CUT.fullmatch(text, min(at, end), end) is not None
    if is_cut:
        last = " ".join(text[:end][-30:].split())
        behind = f", behind '{last}'" if last else ""
        return UserError(
            f"{path} is JSON that ends in its middle{behind}: it was not written or copied whole; "
            f"get it again."
        )
    # The newest Pythons point at the comma, others at what stands behind it.
    bracket = BLANKS.match(text, at + (text[at] == ",")).end()
    before = text[:bracket].rstrip(" \t\n\r")[-1:]
    if text[bracket : bracket + 1] in ("]", "}") and before in (",", ""):  # or read before
        at, reason = bracket, f"a comma stands before this '{text[bracket]}'; delete the comma"
    else:
        reason = f"not JSON ({reason})"
    gone = text[:at]
    lines = gone.count("\n")
    column = len(gone) - gone.rfind("\n") if lines else column + len(gone)
    return UserError(f"{path}, line {line + lines}, column {column}: {reason}.")


@contextmanager
def _open(path: Path) -> Iterator["_Scan"]:
    refuse_binary(path)
    try:
        with path.open("rb") as file:
            yield _Scan(path, file)
    except RecursionError as error:
        raise UserError(f"{path}: its lists are nested too deeply for labels.") from error


class _Scan:
    """The text of a file from some place on, as far as it is read, and where it is looked at."""

    def __init__(self, path: Path, file: BinaryIO):
        self.path, self.file = path, file
        self.text, self.at, self.line, self.column = "", 0, 1, 1
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.parse = json.JSONDecoder().raw_decode

    def fill(self) -> bool:
        """Read as much again as is left, and at least a chunk; say whether there was more."""
        gone = self.text[: self.at]
        lines = gone.count("\n")
        self.line += lines
        self.column = len(gone) - gone.rfind("\n") if lines else self.column + len(gone)
        self.text, self.at = self.text[self.at :], 0
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

    def peek(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            self.at = BLANKS.match(self.text, self.at).end()
            if self.at < len(self.text) or not self.fill():
                return self.text[self.at : self.at + 1]

    def take(self, signs: str) -> str:
        """Skip the next character, which must be one of `signs`, and return it."""
        sign = self.peek()
        if not sign or sign not in signs:
            raise self.refuse(f"Expecting {' or '.join(map(repr, signs))}", self.at)
        self.at += 1
        return sign

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        while True:
            try:
                value, end = self.parse(self.text, self.at)
                # A number may go on behind what was read.
                if end < len(self.text) or not self.fill():
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                behind = error.pos - self.at
                is_end = error.pos > len(self.text) - NEAR or error.msg.startswith("Unterminated")
                if not (is_end and self.fill()):
                    raise self.refuse(error.msg, self.at + behind) from error
            except ValueError as error:
                line = self.line + self.text.count("\n", 0, self.at)
                raise UserError(f"{self.path}, line {line}: {TOO_LONG}.") from error

    def items(self) -> Iterator[Any]:
        """Yield the items of the list that is next."""
        for _ in self._parts("[]"):
            yield self.value()

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that is next; the value is to be taken after each."""
        for _ in self._parts("{}"):
            if self.peek() != '"':
                raise self.refuse("Expecting property name enclosed in double quotes", self.at)
            key = self.value()
            self.take(":")
            yield key

    def _parts(self, brackets: str) -> Iterator[None]:
        """Stop at each part of what is next, which these brackets hold."""
        opening, closing = brackets
        self.take(opening)
        if self.peek() == closing:
            self.at += 1
            return
        while True:
            yield
            if self.take(f",{closing}") == closing:
                return

    def end(self) -> None:
        if self.peek():
            raise self.refuse("Extra data", self.at)

    def refuse(self, reason: str, at: int) -> UserError:
        """Return what to say of an error at a place of the text."""
        return _explain(self.path, self.text, at, reason, self.line, self.column)
