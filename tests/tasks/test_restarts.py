"""`--restarts`: a start that failed is kept, and another begins with other seeds."""

import json

import numpy as np
import pytest

from slot_attention_tf.results import add_run, table
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.discovery import Discovery
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory


@pytest.fixture
def first_start_makes_stripes(monkeypatch):
    asked = []

    def signs(task, scores, siblings):
        asked.append(scores)
        return ["The masks are stripes."] if len(asked) == 1 else []

    monkeypatch.setattr(Discovery, "signs_of_failure", signs)


@pytest.mark.slow
def test_stripes_are_another_start(first_start_makes_stripes, train, tmp_path, capsys):
    assert not train(restarts=2)
    output = capsys.readouterr().out
    assert "seed 0 failed: At step 2: The masks are stripes." in output
    run = RunDirectory(tmp_path / "run")
    failure = {"seed": 0, "reason": "At step 2: The masks are stripes."}
    assert run.read_config()["attempts"] == run.read_attempts() == [failure]
    assert [row["step"] for row in run.read_metrics() if "loss" in row] == [2, 4]
    # The failed start is there as a whole, and seed 0 would have begun like it.
    kept = RunDirectory(run.path / "attempts" / "0")
    assert kept.read_config()["seed"] == 0 and not kept.read_config()["attempts"]
    assert [row["step"] for row in kept.read_metrics() if "loss" in row] == [2]
    # The second one is the run that its seed would have been.
    assert not train(seed=1000, model_dir=tmp_path / "other")
    weights, expected = (
        load_run(tmp_path / name, find_task).model.get_weights()
        for name in ("run", "other")
    )
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    # It is not hidden in the results, and the same command has nothing left to do.
    row = json.loads(add_run(run.path, tmp_path / "results").read_text())
    assert (row["seed"], row["attempts"]) == (0, [failure])
    assert "| 0 (restarted 1x) |" in table([row])
    assert not train(restarts=2)
    assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_diverges_every_time_stops(train, tmp_path):
    message = train(restarts=1, learning_rate=1e30, num_train_steps=20)
    assert "NonFiniteLossError" in message
    (failure,) = RunDirectory(tmp_path / "run").read_attempts()
    assert failure["seed"] == 0 and "NaN" in failure["reason"].replace("nan", "NaN")


def test_an_interrupted_move_is_completed(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.write_text("failure.json", '{"seed": 0}')
    run.write_text("config.json", "{}")
    moved = run.path / "attempts" / "0"
    moved.mkdir(parents=True)
    (moved / "metrics.jsonl").write_text("")
    assert run.read_attempts() == [{"seed": 0}]
    names = {path.name for path in moved.iterdir()}
    assert names == {"config.json", "failure.json", "metrics.jsonl"}
    assert [path.name for path in run.path.iterdir()] == ["attempts"]
