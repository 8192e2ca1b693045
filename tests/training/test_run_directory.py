"""The folder of a run: nothing lost, nothing mixed up."""

import os
import stat

import pytest

from slot_attention_tf.training.run_directory import RunDirectory


def config(seed=0, dataset="tetrominoes/tiny/1.0.0", **settings):
    return {
        "task": "discovery",
        "model_name": "slot_attention",
        "preset": "tetrominoes_cpu",
        "dataset": dataset,
        "seed": seed,
        "settings": {"learning_rate": 1e-3, "batch_size": 32, **settings},
    }


def test_config_is_kept_and_read(tmp_path):
    run = RunDirectory(tmp_path / "new" / "run")
    assert run.read_config() is None
    run.open_run(config(resolution=(35, 35)))
    assert run.read_config()["settings"]["resolution"] == [35, 35]
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"dataset": "other/1.0.0"}, "dataset: tetrominoes/tiny/1.0.0 -> other/1.0.0"),
        ({"batch_size": 64}, "batch_size: 32 -> 64"),
        ({"batch_size": 64, "seed": 2}, "seed: 0 -> 2; batch_size: 32 -> 64"),
    ],
)
def test_another_run_is_refused_and_nothing_written(tmp_path, changed, message):
    run = RunDirectory(tmp_path)
    run.open_run(config())
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=f"another run.*Different: {message}"):
        run.open_run(config(**changed))
    assert (tmp_path / "config.json").read_text() == before


def test_other_settings_may_change_and_the_change_is_kept(tmp_path, capsys):
    run = RunDirectory(tmp_path)
    run.open_run(config())
    run.open_run(config(learning_rate=1e-4))
    assert "learning_rate: 0.001 -> 0.0001" in capsys.readouterr().out
    run.open_run(config(learning_rate=1e-5))
    assert run.read_config()["changes"] == [
        "learning_rate: 0.001 -> 0.0001",
        "learning_rate: 0.0001 -> 1e-05",
    ]


def test_a_run_that_continues_keeps_when_it_was_started(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run({**config(), "started": "yesterday"})
    run.open_run({**config(), "started": "today"})
    assert run.read_config()["started"] == "yesterday"


def test_the_final_evaluation_is_the_last_on_most_scenes(tmp_path):
    run = RunDirectory(tmp_path)
    for step, num_images, seed, score in (
        (4, 500, 0, 0.1),  # As trained elsewhere, and scored in short.
        (4, 15_000, 0, 0.2),
        (4, 15_000, 0, 0.3),
        (4, 8, 0, 0.4),
        (4, 20_000, 1, 0.5),  # Other random starts.
    ):
        facts = {"step": step, "seed": seed, "num_images": num_images}
        run.append_evaluation({**facts, "score": score})
    assert run.read_final_evaluation()["score"] == 0.3
    assert [row["score"] for row in run.read_sweeps()] == [0.3, 0.5]
    run.append_evaluation({"step": 6, "seed": 0, "num_images": 500, "score": 0.6})
    assert run.read_final_evaluation()["score"] == 0.6


def test_a_change_of_precision_is_kept(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run({**config(), "options": {"precision": "bfloat16", "restarts": 0}})
    run.open_run({**config(), "options": {"precision": "float32", "restarts": 1}})
    assert run.read_config()["changes"] == ["precision: bfloat16 -> float32"]


def test_what_is_known_of_a_finished_run_stays(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run(config(), finished=True)
    before = (tmp_path / "config.json").read_text()
    run.open_run(config(learning_rate=1e-4), finished=True)
    assert (tmp_path / "config.json").read_text() == before
    with pytest.raises(ValueError, match="another run"):
        run.open_run(config(seed=1), finished=True)


def test_a_setting_that_is_new_does_not_end_a_run(tmp_path):
    run = RunDirectory(tmp_path)
    run.open_run(config())
    run.open_run(config(grayscale=False, new_setting=3))


def test_metrics_after_a_step_are_forgotten(tmp_path):
    run = RunDirectory(tmp_path)
    for step in (10, 20, 30):
        run.append_metrics({"step": step, "loss": 1.0 / step})
    run.truncate_metrics(20)
    assert [row["step"] for row in run.read_metrics()] == [10, 20]


def test_a_half_written_last_line_is_forgotten(tmp_path):
    run = RunDirectory(tmp_path)
    run.append_metrics({"step": 10})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 20, "lo')
    assert [row["step"] for row in run.read_metrics()] == [10]
    run.append_metrics({"step": 30})
    assert [row["step"] for row in run.read_metrics()] == [10, 30]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match="Line 2 of .*Received: 'nonsense'"):
        RunDirectory(tmp_path).read_metrics()


def test_files_have_the_usual_permissions(tmp_path):
    umask = os.umask(0o022)
    try:
        RunDirectory(tmp_path).open_run(config())
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o644


def test_a_run_of_the_first_version_is_refused_in_words(tmp_path):
    (tmp_path / "config.json").write_text('{"preset": "tetrominoes", "settings": {}}')
    with pytest.raises(ValueError, match="version 0.1.*model.keras can still be"):
        RunDirectory(tmp_path).open_run(config())


def test_only_the_chief_writes(tmp_path):
    run = RunDirectory(tmp_path / "run", writable=False)
    run.open_run(config())
    run.append_metrics({"step": 1})
    run.append_evaluation({"step": 1})
    assert not run.path.exists()
