import pytest

from landmarks.cli import main as cli


@pytest.fixture(scope="session")
def exported(run_of, tmp_path_factory):
    """An exported regression with its run: (file, run)."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    run = run_of(unlabelled=[3], settings={"flip_test": True})
    path = tmp_path_factory.mktemp("exported") / "face.onnx"
    assert cli.main(["export", f"checkpoint={run}", f"output={path}"]) == 0
    return path, run
