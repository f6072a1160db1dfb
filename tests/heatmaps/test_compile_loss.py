"""When the loss is compiled, and what happens where it cannot be."""

import logging

import pytest
import torch

from landmarks.heatmaps import compile_loss as fuse
from landmarks.heatmaps.compile_loss import can_compile, fuse_loss


def double(x):
    return 2 * x


@pytest.fixture
def broken(monkeypatch):
    """A compiler that is there and does not work."""

    def compile(function, **options):
        def fail(*arguments):
            raise RuntimeError("no OpenMP")

        return fail

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(fuse, "can_compile", lambda: True)


def test_not_compiled_unless_wanted_and_possible(monkeypatch):
    assert fuse_loss(double, False) is double
    monkeypatch.setattr(fuse, "can_compile", lambda: False)
    assert fuse_loss(double, "auto") is double


def test_auto_goes_on_where_the_compiler_fails(broken, caplog):
    function = fuse_loss(double, "auto")
    with caplog.at_level(logging.WARNING):
        assert [function(torch.ones(())).item() for _ in range(2)] == [2, 2]
    assert caplog.text.count("model.fuse=true") == 1 and "RuntimeError" in caplog.text


def test_true_says_what_the_compiler_said(broken):
    with pytest.raises(RuntimeError, match="no OpenMP"):
        fuse_loss(double, True)(torch.ones(()))


def test_an_error_of_the_loss_itself_is_not_hidden(broken):
    def wrong(x):
        raise ValueError("of the loss")

    with pytest.raises(ValueError, match="of the loss"):
        fuse_loss(wrong, "auto")(torch.ones(()))


def test_without_a_compiler_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not can_compile()
