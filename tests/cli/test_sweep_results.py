"""The table of a sweep's jobs."""

import csv

from landmarks.cli.sweep_results import JobNote, keep_note, read_notes, say_failures, say_jobs

NOTES = [
    JobNote(0, ["loss=l1", "optimizer.lr=0.1", "epochs=3"], 1, "The loss is not finite."),
    JobNote(1, ["loss=l1", "optimizer.lr=0.01", "epochs=3"], 0, "", 7.25, 3, 12.0),
    JobNote(2, ["loss=l1", "optimizer.lr=0.001", "epochs=3"], 0, "", 6.5, 3, 12.0),
    JobNote(10, ["loss=l1", "optimizer.lr=1", "epochs=3"], 0, "", 9.0, 1, 4.0, pruned=True),
    JobNote(11, ["loss=l1", "epochs=3"], 143, "", 8.0, 2, 8.0),
]


def test_jobs_are_listed_best_first_with_what_differed(tmp_path):
    for note in reversed(NOTES):
        keep_note(tmp_path, note)
    notes, lines = read_notes(tmp_path), []
    assert notes == NOTES
    say_jobs(tmp_path, notes, lines.append)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["2", "1", "11", "10", "0"]
    states = ["finished", "finished", "stopped", "pruned", "failed"]
    assert [row["state"] for row in rows] == states
    assert [row["optimizer.lr"] for row in rows] == ["0.001", "0.01", "", "1", "0.1"]
    assert "loss" not in rows[0] and "epochs=3" not in lines[0]
    assert float(rows[0]["val_mse"]) == 6.5 and rows[-1]["val_mse"] == ""
    assert [line.split()[0] for line in lines[1:6]] == ["2", "1", "11", "10", "0"]


def test_a_failure_names_what_the_job_alone_was_given():
    assert say_failures(NOTES) == ["job 0 (optimizer.lr=0.1): The loss is not finite."]
