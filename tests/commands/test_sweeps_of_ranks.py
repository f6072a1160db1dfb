"""A sweep whose jobs are each done by two processes: some fail, and the others finish."""

from pathlib import Path

# A share that leaves no face to train on fails in the processes, not as a setting; 99 processes are
# more than cores allow.
JOBS = "-m gpus=2,99 epochs=1 split.share=0.25,0.99 run_dir=all report=false".split()
SMALL = "model.backbone=shufflenet_v2_x0_5"  # other processes know no narrow ResNet


def test_each_job_starts_processes_and_their_sentence_is_told(train, capfd):
    train(*JOBS, SMALL, code=1)
    good, *bad = train.jobs_of("all", "finished", *["failed"] * 3)
    assert (good["gpus"], good["split.share"]) == ("2", "0.25")
    of_bad = {(row["gpus"], row["split.share"]) for row in bad}
    assert of_bad == {("2", "0.99"), ("99", "0.25"), ("99", "0.99")}
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("landmarks: ")]
    assert sorted(line.partition(": job ")[2][:1] for line in said) == ["1", "2", "3"]
    for row in bad:
        (sentence,) = [line for line in said if line.startswith(f"landmarks: job {row['job']} ")]
        assert row["failure"] and row["failure"] in sentence
        assert ("gpus=99: " in row["failure"]) == (row["gpus"] == "99")
    assert Path("all/0/best.pt").is_file() and not Path("all/1/best.pt").exists()
    log = Path("all/0/train.log").read_text()
    assert "2 processes" in log and "epoch 1" in log
