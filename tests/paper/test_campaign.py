"""`python -m slot_attention_tf.paper`: trains what is missing, once."""

import json
import subprocess
import sys
import time

import pytest

from slot_attention_tf.paper.campaign import (
    Campaign,
    Commands,
    Job,
    carry_out_all,
    main,
    plan,
)
from tests.conftest import ROOT


def test_the_plan_has_every_model_of_every_experiment_seed_by_seed():
    jobs = plan("cpu", 2)
    assert len(jobs) == len(set(jobs)) and len(jobs) % 2 == 0
    first, second = jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]
    assert {job.seed for job in first} == {0} and {job.seed for job in second} == {1}
    pairs = {(job.preset, job.model) for job in first}
    assert {("tetrominoes_cpu", "monet"), ("clevr_cpu", "dspn")} <= pairs
    assert {("clevr6_grayscale_cpu", "slot_mlp")} <= pairs
    paper = {(job.preset, job.model) for job in plan("paper", 1)}
    assert {("clevr10", "slot_attention"), ("clevr6", "iodine")} <= paper
    assert {job.model for job in plan("cpu", 1, ["dspn"])} == {"dspn"}
    (job,) = plan("cpu", 1, ["monet"], ["tetrominoes"])
    assert str(job) == "tetrominoes_cpu, monet, seed 0"
    # A run that is the best of several starts has rows of its own; trials have one.
    chosen = ["slot_attention"], ["multi_dsprites_binarized"]
    assert [job.name for job in plan("cpu", 1, *chosen)] == ["slot_attention_0_of_3"]
    assert [job.name for job in plan("cpu", 1, *chosen, 20)] == ["slot_attention_0"]


def test_rows_that_are_there_are_not_made_again(tmp_path, monkeypatch, capsys):
    job = Job("discovery", "tetrominoes_cpu", "slot_mlp", 3, "tetrominoes/synthetic")
    row = tmp_path / "discovery" / "tetrominoes_cpu" / "slot_mlp_3.json"
    row.parent.mkdir(parents=True)
    row.write_text("{}")
    monkeypatch.setattr(Commands, "run", None)  # Nothing may be called.
    campaign = Campaign(tmp_path / "runs", tmp_path, None)
    assert carry_out_all(campaign, [job]) == []
    assert "1 of 1 runs have their rows" in capsys.readouterr().out


def test_a_run_that_fails_is_named_and_the_next_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    calls = []

    def run(self, command, environment=None):
        calls.append(command)
        if "--seed=0" in command:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(Commands, "run", run)
    arguments = ["--experiments", "tetrominoes", "--models", "monet", "--seeds=2"]
    arguments += [f"--runs={tmp_path}", f"--results={tmp_path}", "--data_dir=data"]
    arguments.append("--precision=bfloat16")
    # The second, which leaves no evaluation behind, counts as stopped.
    with pytest.raises(SystemExit, match="seed 1 was stopped; the same command"):
        main(arguments)
    assert [c[1] for c in calls] == ["-m", *["train_discovery.py"] * 2]
    assert all("--data_dir=data" in command for command in calls)
    assert all("--precision=bfloat16" in command for command in calls[1:])


def test_every_gpu_takes_the_next_run(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Campaign, "prepare", lambda self, jobs: None)
    monkeypatch.setattr(
        Campaign, "carry_out", lambda self, job, environment: seen.append(environment)
    )
    campaign = Campaign(tmp_path, tmp_path, None)
    assert carry_out_all(campaign, plan("cpu", 1), ["0", "1"]) == []
    assert {each["CUDA_VISIBLE_DEVICES"] for each in seen} <= {"0", "1"}
    assert len(seen) == len(plan("cpu", 1))


def test_sigterm_ends_what_runs_and_what_would_follow(tmp_path):
    command = [sys.executable, "-m", "slot_attention_tf.paper", f"--runs={tmp_path}"]
    command += [f"--results={tmp_path}", f"--data_dir={tmp_path / 'data'}"]
    command += ["--experiments", "tetrominoes", "--models", "slot_attention"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    while not (tmp_path / "data").exists():  # It draws scenes, for a minute or more.
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    # All of them have ended when none has the pipe open.
    output, _ = process.communicate(timeout=30)
    assert output.endswith("Stopped. The same command continues.\n")
    assert process.returncode == 1 and "[1 of 5]" not in output


@pytest.mark.slow
def test_from_nothing_to_rows_and_the_page(tmp_path):
    folders = [f"--runs={tmp_path / 'runs'}", f"--data_dir={tmp_path / 'data'}"]
    results = f"--results={tmp_path / 'results'}"
    command = [sys.executable, "-m", "slot_attention_tf.paper", "--seeds=1", results]
    command += ["--experiments", "tetrominoes", "--models", "slot_attention"]
    command += ["--num_train_steps=20", *folders]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    folder = tmp_path / "results" / "discovery" / "tetrominoes_cpu"
    row = json.loads((folder / "slot_attention_0.json").read_text())
    assert row["evaluation"]["step"] == 20 and row["parameters"] == 201188
    iterations = [sweep["num_iterations"] for sweep in row["sweeps"]]
    assert sorted(iterations) == list(range(1, 8))
    assert (folder / "slot_attention_0.npz").exists()
    again = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "1 of 1 runs have their rows" in again.stdout
    assert again.stderr == ""  # Nothing of TensorFlow's start.
    draw = [sys.executable, "eval/paper.py", results, f"--out={tmp_path / 'out'}"]
    subprocess.run(draw, cwd=ROOT, check=True, timeout=120)
    assert (tmp_path / "out" / "index.html").exists()
