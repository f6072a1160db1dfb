"""scripts/benchmark.py: what it prints and refuses; how fast things are is not tested here."""

import json
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module, found as it finds its own parts when it is run."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield __import__("benchmark")
    for name in [name for name in sys.modules if name.split(".")[0] in ("benchmark", "benchmarks")]:
        del sys.modules[name]


@pytest.fixture
def run(benchmark, capsys):
    """Run a benchmark and return what its last line of output says."""

    def run(*words: str) -> dict:
        assert benchmark.main(list(words)) == 0
        *readable, last = capsys.readouterr().out.splitlines()
        assert len(readable) >= 3
        assert not any(line.startswith("{") for line in readable)
        return json.loads(last)

    return run


def test_startup_times_help_and_looks_for_torch(run):
    result = run("startup", "--rounds", "1")
    assert result.keys() == {"help_s", "torch_imported"}
    assert 0 < result["help_s"] < 60
    assert result["torch_imported"] is False


def test_read_compares_generated_rows(run):
    result = run("read", "--timed-rows", "30", "--rows", "60", "--rounds", "1")
    check_read(result)


def test_read_repeats_the_rows_of_a_root(run, tmp_path):
    (tmp_path / "train").mkdir()
    text = "file_name\tPoint_M0_X\tPoint_M0_Y\r\na.jpg\t-3\t1308\r\nb.jpg\t7\t8\r\n"
    (tmp_path / "train" / "landmarks.csv").write_text(text, newline="")
    words = ["--timed-rows", "5", "--rows", "5", "--rounds", "2"]
    check_read(run("read", "--root", str(tmp_path), *words))


def check_read(result: dict) -> None:
    assert result.keys() == {"first_ratio", "second_ratio", "peak_extra_mib"}
    assert result["first_ratio"] > 0
    assert result["second_ratio"] > 0
    assert 0 <= result["peak_extra_mib"] < 400


def test_table_is_read_as_pandas_reads_it(run):
    check_read(run("table", "--timed-rows", "300", "--rows", "600", "--rounds", "1"))


def test_decode_compares_the_decoders_with_dark_as_published(run):
    rows = run("decode", "--maps", "500", "--rounds", "1", "--threads", "1")["rows"]
    found = {row.pop("decoder"): row for row in rows}
    assert list(found) == ["argmax", "weighted", "local", "dark", "DARK as published"]
    assert all(row["ms_per_face"] > 0 for row in found.values())
    published, ours = found["DARK as published"], found["dark"]
    assert published["rms_px"] < 0.01 < published["noisy_rms_px"] < published["border_rms_px"]
    assert ours["noisy_rms_px"] < 1.05 * published["noisy_rms_px"]
    assert ours["border_rms_px"] < 0.01
    assert 1 < found["argmax"]["rms_px"] < 1.3  # 4 / sqrt(12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strtup"], "Did you mean 'startup'?"),
        (["read", "--root", "no/such/folder"], "--root no/such/folder: there is no such folder."),
        (["read", "--rows", "0"], "--rows 0: at least 1 is needed."),
        (["read", "--rows", "many"], "argument --rows: invalid int value: 'many'."),
        (["startup", "--fast"], "unrecognized arguments: --fast."),
    ],
)
def test_wrong_words_are_refused_in_one_line(benchmark, capsys, words, said):
    assert benchmark.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert said in printed.err


def test_a_root_without_labels_is_refused(benchmark, capsys, tmp_path):
    (tmp_path / "train").mkdir()
    assert benchmark.main(["read", "--root", str(tmp_path)]) == 2
    assert str(tmp_path / "train" / "landmarks.csv") in capsys.readouterr().err


@pytest.fixture
def uncompiled(monkeypatch):
    """Leave the heatmap loss as it is: compiling takes longer than all the rest."""
    monkeypatch.setattr("torch.compile", lambda function, **options: function)


def test_heatmap_compares_with_autograd_on_whole_maps(run, uncompiled):
    words = ["--points", "600", "--cells", "64", "--images", "1", "--rounds", "1", "--threads", "1"]
    result = run("heatmap", *words)
    assert result["max_rel_error"] < 1e-5
    assert 0 < result["memory_ratio"] < 1
    assert all(result[f"{name}_speedup"] > 0 for name in ("compiled", "eager"))
    assert result["floor_ratio"] > 1


def test_growth_measures_points_and_sides(run, uncompiled):
    words = ["--images", "1", "--largest", "1100000", "--rounds", "1", "--threads", "1"]
    rows = run("growth", *words)["rows"]
    assert [(row["points"], row["side"]) for row in rows] == [(68, 64), (250, 64), (971, 32)]
    assert all(row["seconds"] > 0 and row["extra_mib"] > 0 for row in rows)


def test_step_compares_whole_steps_and_predictions(run, uncompiled):
    tiny = ["--points", "3", "--images", "1", "--size", "64", "--threads", "1"]
    result = run("step", *tiny, "--rounds", "1")
    names = {"unet", "unet_resnet34", "predict_unet", "predict_unet_resnet34"}
    assert names <= result.keys() and all(value > 0 for value in result.values())


def test_step_compares_with_the_papers_loss(benchmark):
    """The reference is a fair one: it computes what the package's own loss does."""
    import torch
    from benchmarks.writeup import adaptive_wing_loss, draw_targets

    from landmarks.losses import adaptive_wing

    points = torch.tensor([[3.3, 5.8], [0.1, 9.4]])
    targets = torch.from_numpy(draw_targets(points.numpy(), 12, 1.5))
    assert targets.shape == (2, 12, 12) and targets[0].argmax() == 6 * 12 + 3
    maps = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0))
    ours = adaptive_wing(maps, targets).mean()
    torch.testing.assert_close(adaptive_wing_loss(maps, targets), ours, rtol=1e-5, atol=0)


def test_check_plants_faults_and_finds_them(run, tmp_path):
    from landmarks.synthetic.write_faces import write_faces

    write_faces(tmp_path, 60, 1, 0)
    words = ["--root", str(tmp_path), "--draws", "1", "--noise", "0.1", "--seed", "2"]
    (draw,) = run("check", *words)["draws"]
    planted = {"shifted": 2, "corrupt": 1, "duplicate": 1, "jittered": 1, "swapped": 1, "thrown": 1}
    assert {kind: sum(counts) for kind, counts in draw["found"].items()} == planted
    surely = {"corrupt", "duplicate", "jittered", "swapped", "thrown"}
    assert all(draw["found"][kind][0] == planted[kind] for kind in surely)
    assert draw["faces"] == 53 and len(draw["others"]) <= 1


def test_pasted_faces_are_where_their_points_are(benchmark, tmp_path):
    import cv2
    import numpy as np
    from benchmarks.pasted import AROUND, _paste

    photo = np.full((80, 60, 3), 60, np.uint8)
    photo[:, :7] = photo[:5] = 0  # black bars, which are left out
    cv2.circle(photo, (30, 40), 6, (255, 255, 255), -1)
    truth = np.array([[[30.0, 40.0], [20.0, 25.0], [45.0, 60.0]]])
    for around in AROUND:
        rng, place = np.random.default_rng(3), tmp_path / around
        ((x, y), *_), *none = _paste([photo], truth, around, place, 0.0, rng)
        picture = cv2.imread(str(place / "0000.jpg"), cv2.IMREAD_GRAYSCALE)
        assert none == [] and min(picture.shape) >= 3 * 0.5 * 75 - 1
        rows, columns = np.nonzero(picture > 220)
        here = (abs(columns - x) < 12) & (abs(rows - y) < 12)
        assert np.hypot(columns[here].mean() - x, rows[here].mean() - y) < 0.5
        _, box = (tmp_path / f"{around}.csv").read_text().splitlines()
        left, top, right, bottom = map(float, box.split(",")[1:])
        assert left < x < right and top < y < bottom


def test_pasted_compares_with_the_photos_themselves(run, contest, tmp_path, monkeypatch):
    from landmarks.cli import main as cli

    monkeypatch.chdir(tmp_path)
    tiny = ["model=resnet18", "model.weights=none", "input_size=32", "batch_size=4", "epochs=1"]
    tiny += ["split.share=0.25", "amp=off", "device=cpu", "workers=0", "report=false"]
    root = contest(train=12).root
    assert cli.main(["train", f"data.root={root}", *tiny, "run_dir=a"]) == 0
    result = run("pasted", "--checkpoint", "a", "--faces", "2", "--around", "grey")
    assert result["own_%"] > 0 and len(result["around"]["grey"]) == 2


def test_predict_compares_text_with_the_model(run):
    words = ["--faces", "4", "--batch-size", "3", "--written", "7", "--rounds", "1"]
    result = run("predict", *words, "--threads", "1")
    assert result.keys() == {"images_per_s", "ratio", "text_us", "text_share"}
    assert all(value > 0 for value in result.values())


def test_gpu_measures_everything_on_the_cpu(run, uncompiled):
    result = run("gpu", "--fake", "--models", "resnet34", "--rounds", "1")
    share = result.pop("loop_share")
    assert result.keys() == {
        "capture_speedup_32",
        "floor_ratio_32",
        "unet_step_speedup",
        "images_per_s",
        "predict_unet",
        "predict_unet_resnet34",
    }
    assert share < 1 and all(value > 0 for value in result.values())


def test_gpu_measures_the_parts_that_are_named(run):
    result = run("gpu", "--fake", "--parts", "loop", "--rounds", "1")
    assert [name for name, value in result.items() if value is not None] == ["loop_share"]


# torch counts no product that is added in place, as those of the heatmaps' gradients are.
@pytest.mark.parametrize(
    ("name", "uncounted"), [("resnet18", 0), ("unet_resnet18", 2 * 2 * (2 * 8 * 8) * 96 * 16)]
)
def test_the_floor_has_the_products_of_a_step(benchmark, uncompiled, name, uncounted):
    import torch
    from benchmarks.floor import Floor
    from benchmarks.recorded import Scale, build_model
    from torch.utils.flop_counter import FlopCounterMode

    model = build_model(name, Scale(size=32, points=16))
    images, points = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), 32 * torch.rand(2, 16, 2)
    with FlopCounterMode(display=False) as counter:
        model(images, points).backward()
    counted = Floor(model, images).flops - uncounted
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-4)


def test_shards_are_compared_with_plain_files(run):
    found = run("shards", "--faces", "40", "--rounds", "1", "--shard-bytes", "60000")
    assert set(found) == {"folder_ratio", "fetched_ratio", "room_ratio", "near_pairs"}
    assert all(value > 0 for value in found.values())
