"""Two processes that train one model do what one does; they are started once, see two_ranks.py."""

import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from together import end_ranks, module_of, start_ranks

from landmarks.augment.augmentation import Augment
from landmarks.cli import main as cli
from landmarks.commands.train import train
from landmarks.data.batches.loader import refuse_uneven
from landmarks.distributed import collectives, processes
from landmarks.errors import UserError
from landmarks.runs.checkpoint import load_checkpoint

SCRIPT = Path(__file__).parent / "two_ranks.py"
BOUND = 1e-5


@pytest.fixture(scope="module")
def two(tmp_path_factory, write_contest):
    """What two processes have found, their folder, and what each has printed."""
    folder = tmp_path_factory.mktemp("two")
    made = write_contest(folder / "contest", train=15)
    cache = str(folder / "cache")
    words = str(folder), str(made.root)
    begun = start_ranks((SCRIPT, "main"), *words, folder=folder, LANDMARKS_CACHE=cache)
    codes, said = end_ranks(begun, folder)
    assert codes == [0, 0], said
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]
    return found, folder, said


@pytest.fixture(scope="module")
def one():
    """What one process finds."""
    return module_of(SCRIPT).find()


@pytest.mark.parametrize("name", ["regression", "heatmaps"])
def test_two_processes_end_with_the_weights_and_errors_of_one(name, one, two):
    alone = one[name]
    for together in (found[name] for found in two[0]):
        for part in ("model", "average"):
            for key, value in alone[part].items():
                distance = (value.double() - together[part][key].double()).abs()
                assert (distance <= BOUND * value.double().abs().clamp(min=1)).all(), key
        assert together["losses"] == pytest.approx(alone["losses"], rel=BOUND)
        for key in ("mse", "nme", "confidence"):
            wanted = pytest.approx(alone["errors"][key], rel=BOUND, nan_ok=True)
            assert together["errors"][key] == wanted


def test_what_ranks_agree_on(one, two):
    for found in (found["agreed"] for found in two[0]):
        assert found["agree"] == {"steps": 7}  # rank 0's
        assert found["largest"] == 15
        assert found["gather"] == ["rank 0", "rank 1"]
        assert found["sum"] == 3.0
        assert found["norm"] == pytest.approx([2.0, 8 / 7])  # of both: four times 1, four times 3
    assert one["agreed"]["norm"] == [1.0, 0.0]


def test_who_leaves_an_exchange_ends_it_for_the_other_alone(two):
    ends = [found["parted"][0] for found in two[0]]
    assert ends[0] == ["ValueError", "Lost", ["a", "c", "b", "d"]]
    assert ends[1] == ["Lost", "ValueError", ["a", "c", "b", "d"]]
    assert max(found["parted"][1] for found in two[0]) < 60


def test_faces_that_another_rank_cannot_predict_are_named(one, two):
    alone, *together = (found["agreed"]["blind"] for found in (one, *two[0]))
    assert together[0] == together[1]
    assert sorted(together[0].split(", ")) == sorted(alone.split(", "))
    assert together[0].count("jpg") > 1


def test_the_command_leaves_one_run_and_says_everything_once(two):
    found, folder, said = two
    assert [each["code"] for each in found] == [0, 0]
    (run,) = (folder / "runs").glob("*of_two")
    assert {"best.pt", "last.pt", "metrics.csv", "train.log"} <= {p.name for p in run.iterdir()}
    assert load_checkpoint(run / "last.pt").training["step"] == 3
    assert "epoch 1" in said[0]
    assert "epoch" not in said[1]


def test_the_report_at_the_end_is_that_of_one_process(two, tmp_path, monkeypatch):
    monkeypatch.chdir(two[1])
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    (run,) = Path("runs").glob("*of_two")
    words = f"checkpoint={run} batch_size=8 device=cpu amp=off workers=0 threads=1 report=false"
    assert cli.main(["evaluate", *words.split(), f"run_dir={tmp_path}"]) == 0
    for name in ("predictions.npz", "errors.npz", "per_face.csv"):
        assert (run / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (run / "report.html").is_file()


def test_a_process_that_was_started_otherwise_is_refused(two):
    found, _, said = two
    assert [each["refused"] for each in found] == [1, 1]
    assert "rank 1" in said[1]
    assert "clip=1" in said[1]
    assert "clip=1" in said[0]  # why it ended


def test_augmentation_of_a_part_is_that_of_the_whole():
    settings = {"rotate": 9, "flip": 0.5, "erase": 0.5, "erase_size": 0.4}
    damage = {"degrade": 0.6, "blur": 1.2, "noise": 9, "blocks": 2}
    augment = Augment(
        input_size=16, permutation=torch.arange(3).numpy(), seed=4, **settings, **damage
    )
    images = torch.randint(0, 255, (12, 3, 20, 20), dtype=torch.uint8)
    points = torch.rand(12, 3, 2) * 16
    whole = augment(images, points, 5)
    parts = [
        augment(images[4 * i : 4 * i + 4], points[4 * i : 4 * i + 4], 5, (i, 3)) for i in range(3)
    ]
    assert torch.allclose(whole[0], torch.cat([part[0] for part in parts]), atol=1e-3)
    assert torch.equal(whole[1], torch.cat([part[1] for part in parts]))


@pytest.mark.parametrize(
    ("size", "faces", "ranks", "near"),
    [
        (33, 100, 2, "batch_size=32 or batch_size=34"),
        (33, 33, 2, "batch_size=32"),
        (3, 100, 4, "batch_size=4"),
    ],
)
def test_a_batch_that_does_not_part_is_refused(size, faces, ranks, near, monkeypatch):
    monkeypatch.setattr(processes, "world", lambda: ranks)
    with pytest.raises(UserError) as refused:
        refuse_uneven(size, faces)
    assert str(refused.value).endswith(f"use {near}.")
    refuse_uneven(2 * ranks, faces)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_more_gpus_than_there_are_is_refused(device, monkeypatch, capsys):
    monkeypatch.setattr("landmarks.distributed.launch_ranks.count_cores", lambda: 2)
    assert cli.main(["train", "gpus=99", f"device={device}"]) == 1
    assert "gpus=99" in capsys.readouterr().err


def test_gpus_of_a_file_of_settings_count_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    (tmp_path / "my/experiment").mkdir(parents=True)
    mine = "# @package _global_\n# Many.\ngpus: 99\ndevice: cpu\n"
    (tmp_path / "my/experiment/mine.yaml").write_text(mine)
    assert cli.main(["train", "--config-dir", "my", "experiment=mine"]) == 1
    assert "gpus=99: " in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))


def test_a_batch_that_does_not_part_is_refused_before_data_are_read(monkeypatch):
    monkeypatch.setattr(processes, "world", lambda: 2)
    with pytest.raises(UserError, match="batch_size=14 or batch_size=16"):
        train(SimpleNamespace(batch_size=15))  # nothing else is looked at


@pytest.mark.parametrize("command", ["train", "predict"])
def test_gpus_starts_processes_and_says_how_one_has_ended(command, tmp_path, monkeypatch, capfd):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$RANK of $WORLD_SIZE: $*" >> said; exec "./rank$RANK"\n')
    (tmp_path / "rank0").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "rank1").write_text("#!/bin/sh\nsleep 0.5; kill -9 $$\n")
    for script in tmp_path.iterdir():
        script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")
    started = time.monotonic()
    assert cli.main([command, "gpus=2", "device=cpu", "name=a"]) == 1
    assert time.monotonic() - started < 30
    assert capfd.readouterr().err == "landmarks: Process 1 of 2 was ended by SIGKILL.\n"
    words = f"-m landmarks {command} device=cpu name=a gpus=2"
    said = sorted((tmp_path / "said").read_text().splitlines())
    assert said == [f"{rank} of 2: {words}" for rank in range(2)]


def test_a_port_in_use_is_refused(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        at = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost"}
        for name, value in (at | {"MASTER_PORT": taken.getsockname()[1]}).items():
            monkeypatch.setenv(name, str(value))
        assert cli.main(["train", "epochs=1"]) == 1
        port = f"MASTER_PORT={taken.getsockname()[1]}"
    said = capsys.readouterr().err  # torch's own words are not quoted for it
    assert port in said and "EADDRINUSE" not in said and said.count("\n") == 1


def test_one_process_needs_nothing_of_several():
    assert (processes.world(), processes.rank(), processes.is_main()) == (1, 0, True)
    tensor = torch.ones(2)
    assert collectives.reduce(tensor) is tensor
    assert collectives.agree(tensor) is tensor
