"""`--num_starts`: several starts, of which the best goes on."""

import json

import numpy as np
import pytest

from slot_attention_tf.results import add_run, table
from slot_attention_tf.tasks import evaluation, find_task, running
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory


def kill_in_the_run(run_config):
    """Lets starts write what they are, but not the run itself."""

    def run_config_or_kill(task, entry, preset_name, preset, *others):
        if preset.num_train_steps == 6:
            raise Killed
        return run_config(task, entry, preset_name, preset, *others)

    return run_config_or_kill


def weights_of(folder):
    return load_run(folder, find_task).model.get_weights()


class Killed(BaseException):
    """Ends a process at a place in the middle of its work."""


def kill(*arguments, **options):
    raise Killed


@pytest.mark.slow
def test_the_best_of_three_starts_goes_on(train, tmp_path, capsys, monkeypatch):
    settings = {"num_train_steps": 6, "warmup_steps": 3}
    # Killed in the second start, then when the best one is about to go on.
    first = evaluation.fixed_randomness
    with monkeypatch.context() as patch, pytest.raises(Killed):
        results = iter([first, kill])
        patch.setattr(evaluation, "fixed_randomness", lambda m: next(results)(m))
        train(num_starts=3, **settings)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(running, "run_config", kill_in_the_run(running.run_config))
        train(num_starts=3, **settings)
    run = RunDirectory(tmp_path / "run")
    assert run.read_config() is None and run.checkpoints.exists()
    capsys.readouterr()
    assert not train(num_starts=3, **settings)
    output = capsys.readouterr().out
    assert "Start 3 of 3, with seed 2000." in output
    starts = run.read_config()["starts"]
    assert sorted(each["seed"] for each in starts) == [0, 1000, 2000]
    losses = [each["loss"] for each in starts]
    assert losses == sorted(losses) and len(set(losses)) == 3
    # The curve is that of one run, and its time that of all starts.
    rows = [row for row in run.read_metrics() if "loss" in row]
    assert [row["step"] for row in rows] == [2, 3, 4, 6]
    assert rows[-1]["seconds"] > 0.99 * sum(each["seconds"] for each in starts)
    # It is, bit by bit, the run that its seed would have been.
    best = starts[0]["seed"]
    assert not train(seed=best, model_dir=tmp_path / "alone", **settings)
    expected = weights_of(tmp_path / "alone")
    for a, b in zip(weights_of(run.path), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    # The results say so, and the same command has nothing left to do.
    row = json.loads(add_run(run.path, tmp_path / "results").read_text())
    assert (row["seed"], row["starts"]) == (0, starts)
    assert "| 0 (best of 3 starts) |" in table([row])
    capsys.readouterr()
    assert not train(num_starts=3, **settings)
    output = capsys.readouterr().out
    assert "is finished" in output and "Start 1" not in output


@pytest.mark.slow
def test_a_start_that_diverges_is_not_chosen(train, tmp_path, monkeypatch, capsys):
    losses = iter([running.NonFiniteLossError("The loss is nan at step 1."), 0.5])

    def diverges_at_first(model, dataset):
        loss = next(losses)
        if isinstance(loss, Exception):
            raise loss
        return loss

    monkeypatch.setattr(running, "held_out_loss", diverges_at_first)
    assert not train(num_starts=2)
    starts = RunDirectory(tmp_path / "run").read_config()["starts"]
    assert [(each["seed"], each["loss"]) for each in starts] == [
        (1000, 0.5),
        (0, None),
    ]
    assert "diverged (seed 0)" in capsys.readouterr().out


@pytest.mark.slow
def test_when_all_starts_diverge_the_run_fails(train, tmp_path):
    settings = {"learning_rate": 1e30, "num_train_steps": 30, "warmup_steps": 20}
    message = train(num_starts=2, restarts=1, **settings)
    assert "All 2 starts diverged" in message
    # The restart had other seeds, and nothing was lost.
    run = RunDirectory(tmp_path / "run")
    (failure,) = run.read_attempts()
    assert failure["seed"] == 0
    kept = RunDirectory(run.path / "attempts" / "0")
    assert {path.name for path in (kept.path / "starts").iterdir()} == {"0", "1"}


def test_starts_need_a_warm_up(train, tmp_path):
    message = train(num_starts=2, warmup_steps=0)
    assert "warmup_steps=0" in message and "--num_starts=1" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_bucket_that_cannot_be_written_costs_no_start(train, tmp_path, monkeypatch):
    def refuse(run):
        raise OSError("The bucket cannot be written.")

    monkeypatch.setattr(RunDirectory, "publish", refuse)
    with pytest.raises(OSError, match="cannot be written"):
        train(num_starts=2)
    first = RunDirectory(tmp_path / "run" / "starts" / "0")
    assert first.read_config() and not first.read_metrics()


@pytest.mark.slow
def test_a_short_trial_has_one_start(train, tmp_path, capsys):
    assert not train(num_starts=2, warmup_steps=500)
    assert "Start 1" not in capsys.readouterr().out
    assert not (tmp_path / "run" / "starts").exists()
