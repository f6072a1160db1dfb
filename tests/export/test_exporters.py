"""Exported files: checked, kept, described, and used without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from refusals import refused

import landmarks
from landmarks.cli import main as cli
from landmarks.commands import export as command
from landmarks.export.exporters import Parity

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "onnx", "onnxscript"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def without_torch(code, *words):
    command = [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_answers_in_the_photos_pixels(exported, photos):
    path, run = exported
    expected = landmarks.load(run, device="cpu", amp="off").predict(photos, channels="bgr")
    found = landmarks.load(path).predict(photos, channels="bgr")
    np.testing.assert_allclose(found.points, expected.points, atol=0.02)
    assert np.isnan(found.points[:, 3]).all()
    np.testing.assert_allclose(found.spread, expected.spread, atol=0.02)
    assert found.names == expected.names and found.regions == expected.regions


def test_a_file_says_what_it_is(exported):
    import onnx

    path, _ = exported
    model = onnx.load(path)
    about = json.loads({p.key: p.value for p in model.metadata_props}["landmarks"])
    assert about["version"] == landmarks.__version__ and about["num_points"] == 5
    assert about["names"][0] == "eyes_0" and about["config"]["crop"] == "letterbox"
    assert about["channels"] == "rgb" and "weights" in about["licence"]
    sizes = [size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "height", "width", ""]
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "letterbox" in card and "eyes 0 to 1" in card and about["licence"] in card


def test_predict_and_load_work_without_torch(exported, photos, tmp_path):
    path, run = exported
    (tmp_path / "in").mkdir()
    for i, photo in enumerate(photos):  # JPEGs are decoded at a reduced size, as in training
        cv2.imwrite(str(tmp_path / f"in/{i}.jpg"), photo)
    words = [f"input={tmp_path}/in", "npz=true", "confidence=true"]
    line = ["predict", *words, f"checkpoint={path}", f"run_dir={tmp_path}/a"]
    without_torch("from landmarks.cli.main import main; sys.exit(main(sys.argv[1:]))", *line)
    line = ["predict", *words, f"checkpoint={run}", "device=cpu", "amp=off"]
    assert cli.main([*line, f"run_dir={tmp_path}/b"]) == 0
    a, b = (np.load(tmp_path / f"{name}/predictions.npz") for name in "ab")
    np.testing.assert_allclose(a["points"], b["points"], atol=0.02)
    np.testing.assert_allclose(a["spread"], b["spread"], atol=0.02)
    code = "import landmarks; print(landmarks.load(sys.argv[1]).predict(sys.argv[2]).points.shape)"
    assert without_torch(code, path, tmp_path / "in/0.jpg").strip() == "(1, 5, 2)"


def test_the_page_s_example_runs_without_torch(exported, photos, tmp_path):
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(block.splitlines()) <= 30
    cv2.imwrite(str(tmp_path / "a.jpg"), photos[3])
    (tmp_path / "face.onnx").write_bytes(exported[0].read_bytes())
    said = without_torch(f"import os; os.chdir({str(tmp_path)!r})\n{block}")
    assert re.search(r"\beyes\b.*\d", said) and (tmp_path / "points.png").is_file()


@pytest.mark.parametrize(
    ("option", "value"),
    [("amp", "bf16"), ("amp", "off"), ("decoder", "dark"), ("flip_test", True), ("workers", 2)],
)
def test_what_a_file_cannot_follow_is_refused_from_python_and_the_shell(
    exported, photos, tmp_path, capsys, option, value
):
    path, run = exported
    cv2.imwrite(str(tmp_path / "a.png"), photos[0])
    if option != "workers":  # which is the command's alone
        with refused(f"{option}={str(value).lower()}", path):
            landmarks.load(path, **{option: value})
        with refused(f"{option}={str(value).lower()}", path):
            landmarks.load([path, run], **{option: value})
    words = [f"checkpoint={path}", f"input={tmp_path}/a.png", f"run_dir={tmp_path}/out"]
    assert cli.main(["predict", *words, f"{option}={str(value).lower()}"]) == 1
    assert f"{option}={str(value).lower()}" in capsys.readouterr().err
    assert not (tmp_path / "out/predictions.csv").exists()


def test_a_file_is_not_exported_again(exported, tmp_path, capsys):
    for named in (exported[0], f"[{exported[1]},{exported[0]}]"):
        assert cli.main(["export", f"checkpoint={named}", f"output={tmp_path}/b.onnx"]) == 1
        said = capsys.readouterr().err
        assert str(exported[0]) in said and ".pt" in said and said.count("\n") == 1


def test_half_precision_halves_the_weights(exported, traced, tmp_path):
    import onnx

    def size(path):
        return sum(len(held.raw_data) for held in onnx.load(path).graph.initializer)

    path, run = exported
    half = tmp_path / "half.onnx"
    assert cli.main(["export", f"checkpoint={run}", f"output={half}", "fp16=true"]) in (0, 1)
    if half.is_file():  # random weights may be further off than is allowed
        assert size(half) < 0.55 * size(path)


def test_torch_s_own_program_answers_alike(exported, traced, photos, tmp_path):
    path = tmp_path / "face.pt2"
    words = [f"checkpoint={exported[1]}", "format=torch_export", f"output={path}"]
    assert cli.main(["export", *words]) == 0
    extra = {"landmarks": ""}
    program = torch.export.load(str(path), extra_files=extra).module()
    expected = landmarks.load(exported[0]).predict(photos[1], channels="rgb")
    points, _ = program(torch.from_numpy(photos[1][None]))
    np.testing.assert_allclose(points.detach().numpy(), expected.points, atol=0.02)
    assert json.loads(extra["landmarks"])["num_points"] == 5


def test_a_file_that_differs_is_not_kept(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "compare", lambda *given: Parity(0.0, 0.051, 1.0, 1.0))
    monkeypatch.setattr(command, "write_program", lambda path, *rest: path.write_bytes(b"x"))
    monkeypatch.setattr(command, "_program_runner", lambda path: None)
    monkeypatch.setattr(command, "trace", lambda *given: None)
    words = [f"checkpoint={exported[1]}", "format=torch_export", f"output={tmp_path}/a.pt2"]
    assert cli.main(["export", *words]) == 1
    assert "0.051" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_what_is_no_file_of_ours_is_one_sentence(exported, tmp_path):
    import onnx

    (tmp_path / "a.onnx").write_bytes(b"nothing")
    model = onnx.load(exported[0])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "b.onnx")
    for name in "ab":
        with pytest.raises(landmarks.UserError, match=f"{name}.onnx"):
            landmarks.load(tmp_path / f"{name}.onnx")
    with pytest.raises(landmarks.UserError, match="flip_test"):
        landmarks.load(exported[0], flip_test=True)
    assert cli.main(["export", f"checkpoint={exported[0]}", f"output={tmp_path}/c.onnx"]) == 1
    assert cli.main(["predict", f"checkpoint={exported[0]}", f"run_dir={tmp_path}/d"]) == 1
    assert cli.main(["export", f"checkpoint={exported[1]}", f"output={tmp_path}/c.pt"]) == 1


@pytest.mark.parametrize("name", ["a.onnx", "a.md"])
def test_an_export_replaces_no_file_of_another_kind(name, exported, tmp_path, capsys):
    (tmp_path / name).write_text("my notes")
    words = [f"checkpoint={exported[1]}", f"output={tmp_path}/a.onnx"]
    assert cli.main(["export", *words]) == 1
    assert f"output={tmp_path}/a.onnx" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "my notes"


def test_an_export_replaces_an_earlier_one(exported, traced):
    path, run = exported
    before = path.stat().st_mtime_ns
    assert cli.main(["export", f"checkpoint={run}", f"output={path}"]) == 0
    assert path.stat().st_mtime_ns > before


def test_a_file_takes_part_in_an_ensemble(exported, run_of, photos):
    other = run_of("resnet18", 5)
    model = landmarks.load([exported[0], other])
    found = model.predict(photos, channels="bgr").points
    models = [landmarks.load(one) for one in (exported[0], other)]
    each = [model.predict(photos, channels="bgr").points for model in models]
    np.testing.assert_allclose(found[:, :3], np.mean(each, 0)[:, :3], atol=0.01)
    np.testing.assert_allclose(found[:, 3], each[1][:, 3], atol=0.01)
