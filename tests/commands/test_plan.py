"""`landmarks plan`: what it says of a training agrees with the training, and how it is known."""

import json
import logging
import math
import re

import pytest
from PIL import Image

from landmarks.cli.main import main
from landmarks.commands.planning import measure_training
from landmarks.commands.planning.step_times import Measured

pytestmark = pytest.mark.usefixtures("narrow")
SMALL = (
    "model=resnet18 model.weights=none input_size=32 batch_size=4 device=cpu seconds=0.01".split()
)
AWAY = "faces=1000 points=5 machine=h200 model=resnet18 input_size=32 batch_size=64".split()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    logging.disable(logging.NOTSET)


def plan(capsys, *words):
    """Return a plan as JSON; nothing but it stands on the screen's output."""
    assert main(["plan", *words, "json=true"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    code = main(["plan", *words])
    said = capsys.readouterr().err
    assert code in (1, 2) and len(said.splitlines()) == 1 and "Traceback" not in said
    return said


def test_memory_cache_and_faces_are_those_that_training_tells(here, cache, contest, capsys):
    data = contest(train=12)
    words = [f"data.root={data.root}", *SMALL]
    planned = plan(capsys, *words, "epochs=3")
    (one,) = planned["ranks"]
    assert not list(here.glob("runs")) and not list(here.glob("split.npz"))

    train = [word for word in words if not word.startswith("seconds=")]
    assert main(["train", *train, "epochs=1", "report=false", "run_dir=run"]) == 0
    log = (here / "run/train.log").read_text()
    least = re.search(r"([\d.]+) M parameters.* at least (\d+) MiB of memory", log)
    assert planned["facts"]["parameters"]["value"] == pytest.approx(float(least[1]), abs=0.05)
    assert one["memory"]["value"] / 2**20 == pytest.approx(int(least[2]), abs=0.5)
    assert "11 to train on and 1 to validate on, 5 points" in planned["what"]
    canvas = sum(file.stat().st_size for file in cache.glob("canvas/*/*") if file.suffix == "")
    assert planned["facts"]["faces in the cache"]["value"] == canvas
    assert one["step"]["known"] == "measured" and one["step"]["value"] > 0
    epoch = 2 * one["step"]["value"] + one["validation"]["value"]
    assert one["epoch"]["value"] == pytest.approx(epoch)
    assert one["run"]["value"] == pytest.approx(3 * epoch)


def test_ranks_on_a_machine_that_is_not_here_scale_as_the_model_says(capsys):
    machine = ["machine.rate=1", "machine.replay=0", "machine.launch=0", "machine.latency=0"]
    machine += ["machine.bandwidth=1", "machine.network=1", "machine.ranks=8"]
    planned = plan(capsys, *AWAY, *machine, "ranks=[1,2,8,16]", "data.cache=device", "price=3")
    one, two, eight, sixteen = planned["ranks"]
    flops = planned["facts"]["arithmetic a face"]["value"] * 1e9
    gradients = 4e6 * planned["facts"]["parameters"]["value"]
    for row in planned["ranks"]:
        ranks = row["ranks"]
        assert row["faces_each"] == 64 // ranks
        assert row["compute"]["value"] == pytest.approx(row["faces_each"] * flops / 1e12)
        inside = 2 * (min(ranks, 8) - 1) / min(ranks, 8) * gradients / 1e9
        between = gradients / 1e9 if ranks == 16 else 0  # a ring of two machines
        assert row["exchange"]["value"] == pytest.approx(inside + between)
        assert row["step"]["value"] == pytest.approx(
            row["compute"]["value"] + row["exchange"]["value"]
        )
        assert row["step"]["known"] == "modelled" and row["fits"]
        gain = one["step"]["value"] / row["step"]["value"] / ranks
        assert row["efficiency"]["value"] == pytest.approx(gain)
        assert row["cost"]["value"] == pytest.approx(3 * ranks * row["run"]["value"] / 3600)
    assert one["memory"]["value"] > two["memory"]["value"] > eight["memory"]["value"]
    assert sixteen["bottleneck"] == "all-reduce" and one["bottleneck"] == "compute"


def test_ranks_here_are_measured_where_they_can_be_and_modelled_elsewhere(capsys, monkeypatch):
    """Two ranks can be started, and take what they say; eight cannot, and are worked out."""
    asked = []

    def run_ranks(count, entry, settings, points, seconds):
        asked.append((count, settings.batch_size, settings.threads, points))
        return {rank: Measured(4.0, 0.5, 0.0, 1.0, 1.0, 0.001).__dict__ for rank in range(count)}

    alone = Measured(step=2.0, predict=0.25, gather=0.0, share=1.0)
    monkeypatch.setattr(measure_training, "run_ranks", run_ranks)
    monkeypatch.setattr(measure_training, "rehearse", lambda *_: alone)
    monkeypatch.setattr(measure_training, "count_cores", lambda: 2)
    monkeypatch.setattr("landmarks.commands.planning.planned_ranks.count_cores", lambda: 2)
    monkeypatch.setattr("landmarks.commands.planning.planned_training.count_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = [*SMALL, "batch_size=8", "faces=100", "points=5", "ranks=[1,2,8]"]
    one, two, eight = plan(capsys, *words)["ranks"]
    assert asked == [(2, 8, 1, 5)]
    assert [row["step"]["known"] for row in (one, two, eight)] == [
        "measured",
        "measured",
        "modelled",
    ]
    assert two["step"]["value"] == pytest.approx(4)
    # Two ranks took a second for a ring, and a millisecond for each message. Eight send 1.75 times
    # as much, wait three times as long for a message, and four of them share a core.
    messages = (two["exchange"]["value"] - 1) / 0.001
    assert messages == pytest.approx(round(messages)) and messages > 20
    assert two["modelled_step"]["value"] == pytest.approx(2 + 1 + 0.001 * messages)
    assert eight["compute"]["value"] == pytest.approx(4 * 2.0)
    assert eight["exchange"]["value"] == pytest.approx(1.75 + 0.003 * messages)
    assert eight["validation"]["value"] == pytest.approx(math.ceil(10 / 8) * 4 * 0.25)


def test_two_ranks_are_started_and_tell_what_they_measured(capsys):
    words = ["model.backbone=shufflenet_v2_x0_5", "ranks=2", "faces=40", "points=5"]
    (row,) = plan(capsys, *SMALL, *words)["ranks"]
    assert row["faces_each"] == 2 and row["step"]["known"] == "measured"
    parts = sum(row[name]["value"] for name in ("compute", "exchange", "images"))
    assert row["step"]["value"] == pytest.approx(parts)
    assert row["exchange"]["value"] > 0 and row["modelled_step"]["value"] > 0


def test_a_plan_without_a_price_has_no_cost_and_with_a_limit_ends_in_it(capsys):
    (row,) = plan(capsys, *AWAY, "epochs=null", "max_time=1h")["ranks"]
    assert row["cost"] is None and row["run"]["value"] == 3600
    planned = plan(capsys, *AWAY, "epochs=2", "max_time=1h", "kfold=3")
    assert planned["several"] == 3 and planned["epochs"] == 2
    assert planned["ranks"][0]["run"]["value"] == pytest.approx(
        6 * planned["ranks"][0]["epoch"]["value"]
    )


def test_faces_in_a_gpu_s_memory_are_counted_and_auto_takes_all_of_a_machine(capsys):
    planned = plan(capsys, *AWAY, "gpus=auto", "batch_size=64")
    assert planned["facts"]["faces in the cache"]["value"] > 1000 * 3 * 32**2
    assert [row["ranks"] for row in planned["ranks"]] == [8]


def test_photos_that_are_read_anew_each_epoch_may_be_the_bottleneck(capsys):
    words = [*AWAY, "data.cache=off", "machine.cores=2"]
    (row,) = plan(capsys, *words)["ranks"]
    assert row["bottleneck"] == "reading images"
    assert row["step"]["value"] == row["images"]["value"] > row["compute"]["value"]
    words = [*AWAY, "data.cache=disk", "machine.ram=1e-6", "machine.disk=1e-6"]
    planned = plan(capsys, *words)
    (row,) = planned["ranks"]
    assert row["bottleneck"] == "disk"
    held, whole = 2**30 * 1e-6, planned["facts"]["faces in the cache"]["value"]
    missed = (1 - held / whole) * 64 * (3 * 32**2 + 72)
    assert row["disk"]["value"] == pytest.approx(missed / 1e3, rel=1e-3)


def test_what_does_not_fit_is_said_and_ends_with_a_code(capsys):
    assert main(["plan", *AWAY, "machine.memory=1e-3", "data.cache=disk"]) == 1
    said = capsys.readouterr().out
    assert "batch_size" in said
    words = ["ranks=[1,8]", "machine.memory=0.01", "data.cache=disk"]
    one, eight = plan(capsys, *AWAY, *words)["ranks"]
    assert not one["fits"] and eight["fits"]


def test_the_text_and_the_file_say_the_same(here, capsys):
    assert main(["plan", *AWAY, "ranks=[1,4]", "json=out/plan.json"]) == 0
    said = capsys.readouterr().out
    planned = json.loads((here / "out/plan.json").read_text())
    assert planned["what"] in said and f"{planned['ranks'][1]['speed']['value']:,.0f}" in said
    assert all(f"- {sentence}" in said for sentence in planned["assumptions"])
    for name, figure in planned["facts"].items():
        assert re.search(rf"^{re.escape(name)} .*{figure['known']}$", said, re.MULTILINE)


def test_a_plan_replaces_a_plan_and_no_other_file(here, capsys):
    (here / "labels.json").write_text('{"images": []}')
    assert "json=labels.json" in refused(capsys, *AWAY, "json=labels.json")
    assert (here / "labels.json").read_text() == '{"images": []}'
    for _ in range(2):
        assert main(["plan", *AWAY, "json=plan.json"]) == 0


def test_what_is_said_beside_json_stands_on_the_other_stream(capsys, here):
    (here / "d").mkdir()
    table = "\n".join(["file_name,x_0,y_0", *(f"{i}.png,{i},2" for i in range(9))])
    (here / "d/a.csv").write_text(table)
    for i in range(9):
        Image.new("RGB", (12, 12)).save(here / f"d/{i}.png")
    words = [*SMALL, "data=auto", "data.root=d", "batch_size=2", "ranks=1", "json=true"]
    assert main(["plan", *words, "batch_size=3"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["ranks"] and "batch_size=3" in said.err and "data=table" in said.err


def test_ranks_that_a_batch_does_not_part_among_are_left_out(capsys):
    planned = plan(capsys, *AWAY, "ranks=[1,3,8]")
    assert [row["ranks"] for row in planned["ranks"]] == [1, 8]
    (said,) = [said for said in planned["assumptions"] if "ranks=3" in said]
    assert "batch_size=63 or batch_size=66" in said


def test_auto_takes_the_batch_that_the_named_machine_has_room_for(capsys):
    words = [word for word in AWAY if not word.startswith("batch_size")]
    large = plan(capsys, *words, "faces=1000000", "batch_size=auto")["ranks"][0]["faces_each"]
    little = [*words, "faces=1000000", "batch_size=auto", "machine.memory=0.02"]
    small = plan(capsys, *little)["ranks"][0]["faces_each"]
    assert large == 8192 > small >= 32  # a hundred steps an epoch are left


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["faces=100"], "faces=NUMBER points=NUMBER"),
        (["points=5"], "faces=NUMBER"),
        (["faces=1", "points=5"], "faces=1"),
        (["faces=100", "points=5", "ranks=0"], "ranks=0"),
        (["faces=100", "points=5", "ranks=[1,x]"], "ranks="),
        (["faces=100", "points=5", "ranks=[]"], "ranks="),
        ([*AWAY, "ranks=[3,5]"], "batch_size=63 or batch_size=66"),
        ([*AWAY, "init=nowhere.pt"], "nowhere.pt"),
        ([*AWAY, "ranks=16", "machine.network=null"], "machine.network"),
        ([*AWAY, "ranks=2", "compile=true"], "compile=true"),
        ([*AWAY, "ranks=2", "graph=true"], "graph=true"),
        ([*AWAY, "ranks=2", "data.cache=ram"], "data.cache=ram"),
        ([*AWAY, "machine.rate=0"], "machine.rate=0"),
        ([*AWAY, "machine=h20"], "h200"),
        ([*AWAY, "price=-1"], "price=-1"),
        ([*AWAY, "seconds=0"], "seconds=0"),
        ([*AWAY, "json=."], "json=."),
        ([*AWAY, "json=tru"], "json=tru"),
        ([*AWAY, "epochs=null"], "max_time"),
        ([*AWAY, "resume=auto"], "resume="),
        ([*AWAY, "hparams_search=regression"], "hparams_search="),
        ([*AWAY, "data.root=nowhere", "points=null"], "nowhere"),
        ([*AWAY, "model.frezee=1"], "model.freeze"),
        ([*SMALL, "faces=100", "points=5", "gpus=99", "device=cpu"], "gpus=99"),
    ],
)
def test_bad_input_gets_a_sentence(words, named, capsys):
    assert named in refused(capsys, *words)


def test_ranks_that_cannot_be_measured_here_need_the_machine_s_figures(capsys, monkeypatch):
    monkeypatch.setattr(
        "landmarks.commands.planning.planned_ranks.can_start", lambda known, ranks: False
    )
    monkeypatch.setattr(measure_training, "can_start", lambda known, ranks: False)
    said = refused(capsys, *SMALL, "faces=100", "points=5", "ranks=2")
    assert "machine.bandwidth" in said and "machine.latency" in said
