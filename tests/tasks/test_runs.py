"""What runs know of themselves and of each other."""

from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import command, sibling_scores
from slot_attention_tf.training.run_directory import RunDirectory


def write_run(folder, seed, mse, **settings):
    run = RunDirectory(folder)
    run.open_run(
        {
            "task": "discovery",
            "model_name": "slot_attention",
            "preset": "tetrominoes_cpu",
            "dataset": "tetrominoes/tiny/1.0.0",
            "seed": seed,
            "settings": {"batch_size": 4, "num_slots": 4, **settings},
        }
    )
    run.append_evaluation({"step": 1, "mse": 9.0})
    run.append_evaluation({"step": 10, "mse": mse})
    return run


def test_siblings_differ_in_nothing_but_their_seed(tmp_path):
    run = write_run(tmp_path / "a", 0, 0.1)
    write_run(tmp_path / "b", 1, 0.2, description="in other words")
    write_run(tmp_path / "c", 2, 0.3, newer_setting=False)
    write_run(tmp_path / "other", 3, 0.4, num_slots=5)
    (tmp_path / "no_run").mkdir()
    scores = sibling_scores(run)
    assert [row["mse"] for row in scores] == [0.2, 0.3]
    failed = {"mse": 0.9, "stripes": 0.1}
    (sign,) = find_task("discovery").signs_of_failure(failed, scores)
    assert "3.6 times the median of 2 sibling runs" in sign


def test_the_command_of_a_run_names_what_was_asked_for():
    given = {"seed": 3, "encoder_filters": (8, 8), "model_dir": "x", "data_dir": "y"}
    assert command(find_task("discovery"), "slot_mlp", "tetrominoes_cpu", given) == (
        "python train_discovery.py --model=slot_mlp --preset=tetrominoes_cpu --seed=3 "
        "--encoder_filters=8,8"
    )
