"""Words of a command line set what they were meant to."""

import pytest

from landmarks.cli.command_line import mend_words, parse, say_replaced


def meant(word):
    (override,) = parse(mend_words([word]))
    if override.is_sweep_override():
        return [value.text for value in override.value().list]
    return override.value()


@pytest.mark.parametrize("text", ["1e5", "1.10", "007", "2024_06", "1_0", "+1", "run-1.10", "v2"])
def test_a_name_is_the_text_that_was_typed(text):
    assert meant(f"name={text}") == text
    assert meant(f"init=runs/{text}") == f"runs/{text}"


def test_names_of_a_sweep_are_texts_too():
    assert meant("name=1.10,1e5") == ["1.10", "1e5"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("optimizer.lr=1e-3", 1e-3),
        ("name=null", None),
        ("name='1.10'", "1.10"),
        ("seed=7", 7),
        ("input=camera:0", "camera:0"),
    ],
)
def test_other_words_are_read_as_ever(word, value):
    assert meant(word) == value and type(meant(word)) is type(value)


def test_a_word_that_a_later_one_replaces_is_named_with_it():
    said = say_replaced(["epochs=3", "seed=1", "epochs=5", "name=a", "name=b", "seed=1"])
    for pair in ("epochs=5 replaces epochs=3", "name=b replaces name=a"):
        assert pair in said
    assert "seed" not in said and say_replaced(["epochs=3", "seed=3", "--cfg=job"]) == ""
    assert say_replaced(["logger=[csv]", "logger=[wandb]"]) == ""  # lists
    assert "seed=2,3 replaces seed=1" in say_replaced(["-m", "seed=1", "seed=2,3"])
