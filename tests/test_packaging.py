"""The built wheel, installed away from this folder, is the whole program."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("wheel")
    # Built from a copy of what is tracked or new: build/ left by others must not leak in.
    source = out / "source"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_every_module_and_config(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder, prefix in (
        (ROOT / "landmarks", "landmarks"),
        (ROOT / "configs", "landmarks/configs"),
    ):
        for path in folder.rglob("*"):
            if path.suffix in (".py", ".yaml") or path.name == "py.typed":
                assert f"{prefix}/{path.relative_to(folder).as_posix()}" in held
    assert not [name for name in held if name.startswith(("tests", "scripts", "configs"))]


def test_installed_wheel_trains_and_predicts(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "LANDMARKS_CACHE": str(tmp_path / "cache"),
    }

    def landmarks(*words):
        code = (
            "import sys, landmarks; assert landmarks.__file__.startswith(sys.argv.pop(1));"
            "import landmarks.cli.main; sys.exit(landmarks.cli.main.main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(site), *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "train" in landmarks("--help")
    tiny = ["data=synthetic", "data.train=8", "data.test=2", "model=resnet18", "model.weights=none"]
    landmarks("train", *tiny, "input_size=32", "epochs=1", "batch_size=4", "split.share=0.25")
    assert "submission.csv" in landmarks("predict")
