"""The folder of a run: nothing lost, nothing mixed up."""

import pytest

from slot_attention_tf.training.run_directory import RunDirectory


def config(**model):
    return {"settings": {"learning_rate": 1e-3}, "model": {"num_slots": 4, **model}}


def test_config_is_kept_and_read(tmp_path):
    run = RunDirectory(tmp_path / "new" / "run")
    assert run.read_config() is None
    run.open_run(config(resolution=(35, 35)))
    assert run.read_config()["model"] == {"num_slots": 4, "resolution": [35, 35]}
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json"]


def test_another_architecture_is_an_error_that_names_the_difference(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run(config(encoder={"filters": [32, 32], "strides": 1}))
    before = run.read_config()
    with pytest.raises(ValueError, match=r"encoder.filters: \[32, 32\] -> \[64\]"):
        run.open_run(config(encoder={"filters": [64], "strides": 1}))
    assert run.read_config() == before


def test_seed_and_settings_may_differ(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run(config(seed=0, name="model"))
    run.open_run({"settings": {"learning_rate": 1e-4}, **config(seed=1, name="m_1")})


def test_metrics_after_a_step_are_forgotten(tmp_path):
    run = RunDirectory(tmp_path)
    for step in (10, 20, 30):
        run.append_metrics({"step": step, "loss": 1.0 / step})
    run.truncate_metrics(20)
    assert [row["step"] for row in run.read_metrics()] == [10, 20]


def test_only_the_chief_writes(tmp_path):
    run = RunDirectory(tmp_path / "run", writable=False)
    run.open_run(config())
    run.append_metrics({"step": 1})
    assert not run.path.exists()
