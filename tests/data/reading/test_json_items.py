"""JSON as people edit it by hand: what is wrong, and where."""

import re

import pytest

from landmarks.data.reading import json_items
from landmarks.data.reading.json_items import read_items, read_json, read_members
from landmarks.errors import UserError


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return what the whole reader, and the one of members or items, say of a text."""

    def refused(text, chunk=json_items.CHUNK):
        monkeypatch.setattr(json_items, "CHUNK", chunk)
        path = tmp_path / "a.json"
        path.write_text(text)
        whole = {"{": lambda: read_members(path, {"a": list}), "[": lambda: [*read_items(path)]}
        said = []
        for read in (lambda: read_json(path), whole[text[0]]):
            with pytest.raises(UserError) as caught:
                read()
            said.append(str(caught.value))
        return said

    return refused


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": [1,\n 2,]}', "line 2, column 4"),
        ('{"a": [1, 2],\n}', "line 2, column 1"),
        ('{"a": [{"b": 1, }]}', "line 1, column 17"),
        ("[1, 2,\n\n  ]\n", "line 3, column 3"),
        (
            '[[3,\n], 4, 5, "a long text behind it, so that the end is far away, and more of it"]',
            "line 2, column 1",
        ),
    ],
)
def test_a_comma_before_a_bracket_is_named(refused, text, place, chunk):
    line, column = map(int, re.findall(r"\d+", place))
    bracket = text.splitlines()[line - 1][column - 1]
    for said in refused(text, chunk):
        assert place in said and f"'{bracket}'" in said and "\n" not in said


@pytest.mark.parametrize("end", ["", "[1, ", '["\\u00', "[fals", "[-", "[1.", "[2e-", '["te', "[1"])
def test_what_was_cut_off_is_called_so(refused, end):
    text = ('{"a": [0, 1], "b": ' + end).strip()
    whole, streamed = refused(text)
    assert f"'{text}'" in whole
    for said in (whole, streamed):  # the end that is there, if any, and no place of a fault
        quoted = re.findall(r"a\.json .*'(.*)'", said)
        assert all(end and text.endswith(end) for end in quoted) and "column" not in said


@pytest.mark.parametrize(
    ("text", "column"),
    [('{"a": [1}', 9), ('{"a" 1}', 6), ('{"a": [1 2]}', 10), ('{"a": no}', 7), ("[1]]", 4)],
)
def test_other_faults_have_their_place(refused, text, column):
    for said in refused(text):
        assert f"a.json, line 1, column {column}: " in said


def test_a_number_of_thousands_of_digits_is_refused(refused):
    for said in refused('{"a": [' + "9" * 5000 + "]}"):
        assert "a.json" in said and "999" not in said and len(said) < 300
