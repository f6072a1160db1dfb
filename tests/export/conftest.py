from types import SimpleNamespace

import pytest
import torch

from landmarks.cli import main as cli
from landmarks.commands import export as command


@pytest.fixture(scope="module", autouse=True)
def all_narrow(narrow):
    """Let the networks of these tests be narrow."""


@pytest.fixture(scope="module")
def first_export(run_of, narrow, tmp_path_factory):
    """An exported regression: the file, its run, and what torch has made of it on the way."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    made = SimpleNamespace(run=run_of(unlabelled=[3], settings={"flip_test": True}))
    made.path = tmp_path_factory.mktemp("exported") / "face.onnx"

    def keep(name, function):
        def call(*given, **options):
            setattr(made, name, function(*given, **options))
            return getattr(made, name)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "trace", keep("program", command.trace))
        patch.setattr(torch.onnx, "export", keep("graph", torch.onnx.export))
        assert cli.main(["export", f"checkpoint={made.run}", f"output={made.path}"]) == 0
    return made


@pytest.fixture
def exported(first_export):
    """An exported regression with its run: (file, run)."""
    return first_export.path, first_export.run


@pytest.fixture
def traced(first_export, monkeypatch):
    """Let the run of `exported` be exported again without what takes torch long."""
    monkeypatch.setattr(command, "trace", lambda *given: first_export.program)
    monkeypatch.setattr(torch.onnx, "export", lambda *given, **options: first_export.graph)
