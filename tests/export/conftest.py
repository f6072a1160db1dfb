import pytest

from landmarks.cli import main as cli
from landmarks.commands import export as command
from landmarks.export.exporters import trace


@pytest.fixture(scope="session")
def traced_export(run_of, tmp_path_factory):
    """An exported regression: the file, its run, and the program that torch has made of it."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    run = run_of(unlabelled=[3], settings={"flip_test": True})
    path, programs = tmp_path_factory.mktemp("exported") / "face.onnx", []

    def keep(*given):
        programs.append(trace(*given))
        return programs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "trace", keep)
        assert cli.main(["export", f"checkpoint={run}", f"output={path}"]) == 0
    return path, run, *programs


@pytest.fixture
def exported(traced_export):
    """An exported regression with its run: (file, run)."""
    return traced_export[:2]


@pytest.fixture
def traced(traced_export, monkeypatch):
    """Let the run of `exported` be exported again without being traced, which takes long."""
    monkeypatch.setattr(command, "trace", lambda *given: traced_export[2])
