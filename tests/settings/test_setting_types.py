import pytest

from landmarks.settings import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("25m", 1500),
        ("1h30m", 5400),
        ("2h", 7200),
        ("1h1m1s", 3661),
        ("0.5h", 1800),
        (" 90 ", 90),
        (90, 90),
        (1.5, 1.5),
        ("2h0m", 7200),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", ".", "h", "soon", "0", "0m", "-5m", "1d", "30m2h", "5 m", "1.2.3s", "1:30", "1h30", "nan"],
)
def test_what_is_no_duration(text):
    """The 30 of "1h30" is minutes to most people, and a plain number is seconds."""
    with pytest.raises(ValueError):
        parse_duration(text)
