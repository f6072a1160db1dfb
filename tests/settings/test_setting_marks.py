import pytest

from landmarks.settings import ABOVE_ZERO, Needs


@pytest.mark.parametrize(
    ("needs", "settings", "holds"),
    [
        (Needs("crop", "box"), {"crop": "box"}, True),
        (Needs("crop", "box"), {"crop": "whole"}, False),
        (Needs("crop", "box"), {"data.crop": "box"}, False),
        (Needs("/init", None), {}, True),
        (Needs("/init", None), {"init": "a"}, False),
        (Needs("/init", ("a", "b")), {"init": "b"}, True),
        (Needs("/noise", ABOVE_ZERO), {"noise": 0.1}, True),
        (Needs("/noise", ABOVE_ZERO), {"noise": 0}, False),
        (Needs("/noise", ABOVE_ZERO), {}, False),
        (Needs(("/noise", "/blur"), ABOVE_ZERO), {"noise": 0, "blur": 1}, True),
    ],
)
def test_what_a_setting_needs(needs, settings, holds):
    assert needs.holds(settings) is holds


def test_a_setting_of_a_group_needs_one_of_that_group():
    needs = Needs("by", "groups")
    assert needs.holds({"split.by": "groups", "by": "blocks"}, "split")
    assert needs.say("split") == "split.by=groups"
    assert Needs(("a", "/b"), ABOVE_ZERO).say("g") == "g.a or b above 0"
    assert Needs("a", 1, "a model with one").say("g") == "a model with one"
