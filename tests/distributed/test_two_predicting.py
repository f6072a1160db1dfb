"""Two processes that predict and judge leave the files of one; they are started once."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from together import end_ranks, free_ports, module_of, start_ranks

from landmarks.cli import main as cli
from landmarks.distributed import deal_work as dealing
from landmarks.distributed import processes
from landmarks.inference import onnx_model

SCRIPT = Path(__file__).parent / "two_predicting.py"
PLACES = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.5, "side_spread": 0.0}
BOXES = (
    (0, 4, 5, 50, 60),
    (0, 1, 1, 30, 40),
    (2, 5, 6, 40, 41),
    (3, 9, 9, 60, 80),
    (3, 2, 4, 99, 70),
)


jobs = module_of(SCRIPT)


def write(folder, run_of, write_contest):
    """Write what the jobs need: models, faces, boxes, and photos of which one is damaged."""
    made = write_contest(folder / "contest", train=7, test=7)
    data = {"data": {"_target_": "landmarks.data.formats.thousand.read_faces", "exif": "ignore"}}
    for name, model, seed in (
        ("a", "resnet18", 0),
        ("b", "resnet18", 1),
        ("u", "unet_resnet18", 2),
    ):
        settings = {**data, "pictured_region": "auto", "box_from": "data", "box_margin": 0.25}
        run_of(model, seed=seed, folder=folder / name, settings=settings, places=PLACES)
    rows = [",".join(map(str, (made.test_names[face], *box))) for face, *box in BOXES]
    (folder / "boxes.csv").write_text("\n".join(["file_name,x0,y0,x1,y1", *rows]))
    shutil.copytree(folder / "contest/train/images", folder / "broken")
    for name in made.names[1], made.names[3]:  # in the folder's order and in the table's
        (folder / "broken" / name).write_bytes(b"nothing")
    header = [f"p{i}_{axis}" for i in range(5) for axis in "xy"]
    rows = [
        [f"broken/{name}", *face.ravel()]
        for name, face in zip(made.names, made.points, strict=True)
    ]
    lines = [",".join(map(str, row)) for row in [["file_name", *header], *rows]]
    (folder / "t.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def done(tmp_path_factory, run_of, write_contest, narrow):
    """The folder of both, the exit codes of one process and of each of two, and what they said."""
    folder = tmp_path_factory.mktemp("predicting")
    write(folder, run_of, write_contest)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["landmarks"])
        patch.setenv("LANDMARKS_CACHE", str(folder / "cache"))
        patch.setattr("landmarks.commands.predicting.predict_faces.open_detector", None)
        assert cli.main(["export", "checkpoint=a", "output=a.onnx"]) == 0
        ports = free_ports(len(jobs.JOBS) + 1)
        cache = str(folder / "cache")
        begun = start_ranks((SCRIPT, "main"), *ports, folder=folder, LANDMARKS_CACHE=cache)
        alone = jobs.do_all("one")
        said = end_ranks(begun, folder)[1]
    assert (folder / "0.json").is_file() and (folder / "1.json").is_file(), said
    together = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return folder, alone, together, said


@pytest.mark.parametrize("name", jobs.JOBS)
def test_two_processes_leave_the_files_of_one(name, done):
    folder, alone, together, said = done
    assert alone[name] == 0 and [codes[name] for codes in together] == [0, 0], said
    one, two = (
        {file.name: file for file in files_of(folder / way / name)} for way in ("one", "two")
    )
    assert one.keys() == two.keys() and len(one) > 1
    for file in one:
        assert one[file].read_bytes() == two[file].read_bytes(), file


def files_of(folder):
    timed = (".log", ".html")  # they say when they were written
    return [file for file in folder.iterdir() if file.is_file() and file.suffix not in timed]


def test_all_is_said_once_but_what_is_wrong_with_another_s_faces(done):
    said = done[3]
    assert said[0].count(", all points") == len(jobs.JOBS) - 2
    assert said[0].count("Missing or unreadable images: ") == 1
    lost = said[1].splitlines()
    assert said[1].count("rank 1: Unreadable, taken as black") == len(lost) > 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("predict input=clip.mp4", "input=clip.mp4"),
        ("evaluate predictions=a.csv data=table data.train=t.csv", "predictions=a.csv"),
        ("evaluate checkpoint=folds", "folds"),
    ],
)
def test_what_one_process_does_is_refused(words, says, done, monkeypatch, capsys):
    monkeypatch.chdir(done[0])
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    monkeypatch.setattr(dealing, "world", lambda: 2)
    monkeypatch.setattr(
        "landmarks.commands.judging.judge_checkpoint._faces_of_folds", lambda *given: []
    )
    shutil.copytree("a", "folds/fold-0", dirs_exist_ok=True)
    Path("folds/kfold.json").write_text('{"folds": 1}')
    command, *words = words.split()
    model = ["checkpoint=a"] if command == "predict" else []
    assert cli.main([command, *model, *words, "run_dir=refused"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and says in said and re.search(r"\b2\b", said)


def test_a_command_of_one_process_is_done_by_the_first_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for rank, is_alone in ((1, False), (0, True)):
        for name in processes.NAMED:
            monkeypatch.setenv(name, "2" if name == "WORLD_SIZE" else str(rank))
        assert cli.main(["--version"]) == cli.main(["cache"]) == 0
        assert (processes.world() == 1) == is_alone


def test_each_process_runs_an_exported_model_on_its_own_gpu(monkeypatch):
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_model._choose_providers("auto", there) == there
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "local_rank", lambda: 1)
    own = (there[0], {"device_id": 1})
    assert onnx_model._choose_providers("auto", there) == [own, there[1]]
    assert onnx_model._choose_providers("cpu", there) == [there[1]]


def test_a_process_that_is_killed_ends_the_other_and_leaves_nothing(done):
    folder, *_, said = done
    assert json.loads((folder / "stopped.json").read_text()) == 1
    assert said[0].splitlines()[-1].startswith("landmarks: ") and "Traceback" not in said[0]
    assert not (folder / "two/stopped").exists()
