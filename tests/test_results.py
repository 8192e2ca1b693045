"""Results: rows of finished runs, tables over seeds, and what the README says."""

import hashlib
import json

import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import pretrained, results
from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT


def finished_run(folder, seed, fg_ari, seconds=90.0):
    run = RunDirectory(folder)
    config = {
        "task": "discovery",
        "model_name": "slot_attention",
        "preset": "tetrominoes_cpu",
        "dataset": "tetrominoes/synthetic/1.0.0",
        "settings": {"batch_size": 32},
        "versions": {"keras": "3"},
        "options": {"precision": "float32"},
        "device": "2 CPU cores",
        "command": "python train_discovery.py",
        "seed": seed,
    }
    run.open_run(config)
    run.append_metrics({"step": 10, "loss": 0.5, "seconds": seconds})
    run.append_metrics({"step": 10, "fg_ari": fg_ari, "seconds": seconds})
    facts = {"split": "test", "num_slots": 4, "seed": 0}
    scores = {"fg_ari": fg_ari, "ari": 0.5, "mbo": 0.25, "mse": 0.01}
    run.append_evaluation({"step": 10, **facts, **scores})
    run.append_evaluation(
        {"step": 10, **facts, **scores, "num_slots": 9, "fg_ari": 0.1}
    )
    run.model_file.write_text(f"weights {seed}")
    return folder


def test_rows_and_curves_of_runs_become_one_line(tmp_path):
    for seed, fg_ari in enumerate((0.8, 0.9)):
        run = finished_run(tmp_path / f"run_{seed}", seed, fg_ari)
        path = results.add_run(run, tmp_path / "results")
        assert path.relative_to(tmp_path / "results").parts == (
            "discovery",
            "tetrominoes_cpu",
            f"slot_attention_{seed}.json",
        )
        curve = path.with_suffix(".jsonl").read_text().splitlines()
        assert json.loads(curve[0])["loss"] == 0.5
    rows = list(results.read_rows(tmp_path / "results").values())
    (summary,) = results.summarize(rows)
    assert summary["seeds"] == ["0", "1"] and summary["seconds"] == [90, 90]
    assert summary["fg_ari"] == pytest.approx((0.85, 0.05))
    text = results.table(rows)
    assert "| slot_attention | 0, 1 | 0.850 ± 0.050 | 0.500 ± 0.000 |" in text
    assert rows[0]["precision"] == "float32"
    rows[1]["evaluation"]["step"] = 20
    assert [each["seeds"] for each in results.summarize(rows)] == [["0"], ["1"]]


def test_runs_are_added_once_and_never_overwritten(tmp_path):
    run = finished_run(tmp_path / "run", 0, 0.9)
    assert results.add_run(run, tmp_path) == results.add_run(run, tmp_path)
    other = finished_run(tmp_path / "other", 0, 0.95)
    (other / "model.keras").write_text("other weights")
    with pytest.raises(ValueError, match="row of another run: delete it first"):
        results.add_run(other, tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        results.add_run(tmp_path / "nothing", tmp_path)


def test_rows_of_other_settings_are_not_averaged(tmp_path):
    folder = tmp_path / "results"
    results.add_run(finished_run(tmp_path / "run", 0, 0.9), folder)
    other = finished_run(tmp_path / "other", 1, 0.5)
    config = RunDirectory(other).read_config()
    config["settings"]["batch_size"] = 8
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"slot_attention_0.json.*batch_size: 32 -> 8"):
        results.add_run(other, folder)
    assert len(results.read_rows(folder)) == 1


def test_the_readme_is_written_between_its_marks(tmp_path):
    rows_folder = tmp_path / "results"
    results.add_run(finished_run(tmp_path / "run", 0, 0.9), rows_folder)
    rows = results.read_rows(rows_folder).values()
    readme = tmp_path / "README.md"
    begin, end = results._MARKS
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="add both. Received: .*README.md"):
        results.update_readme(readme, rows)
    readme.write_text(f"before\n{begin}old\n{end}after\n")
    assert not results.update_readme(readme, rows, check=True)
    assert "old" in readme.read_text()
    results.update_readme(readme, rows)
    assert results.update_readme(readme, rows, check=True)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "0.900" in text


def test_the_readme_says_what_the_rows_say():
    rows = results.read_rows(ROOT / "results").values()
    assert rows and results.update_readme(ROOT / "README.md", rows, check=True)


def test_rows_hold_what_a_reader_asks_for():
    for row in results.read_rows(ROOT / "results").values():
        for key in ("command", "device", "versions", "dataset", "weights_sha256"):
            assert row[key], key
        assert row["evaluation"]["num_images"] >= 320 and row["seconds"] > 0


def test_weights_of_a_run_ship_with_their_card(tmp_path, monkeypatch):
    run = finished_run(tmp_path / "run", 0, 0.9)
    model = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", load_weights=False
    )
    model.save(run / "model.keras")
    weights = tmp_path / "weights"
    weights.mkdir()
    path = results.ship_weights(run, tmp_path / "results", weights)
    assert path == weights / "slot_attention_tetrominoes_cpu.json"
    file = path.with_suffix(".weights.h5")
    card = json.loads(path.read_text())
    assert card["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card["row"] == "discovery/tetrominoes_cpu/slot_attention_0.json"
    assert (tmp_path / "results" / card["row"]).exists()
    assert (card["steps"], card["seconds"]) == (10, 90)
    assert card["scores"]["fg_ari"] == 0.9 and card["command"]
    other = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
    other.load_weights(file)
    np.testing.assert_array_equal(other.weights[0], model.weights[0])
    url = "https://example.org/weights.h5"
    path = results.ship_weights(run, tmp_path / "results", weights, url)
    assert json.loads(path.read_text())["url"] == url and (run / file.name).exists()
    monkeypatch.setattr(pretrained, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"more than 1,000 bytes: upload .*--url"):
        results.ship_weights(run, tmp_path / "results", weights)
    small = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", load_weights=False, slot_size=32
    )
    run = finished_run(tmp_path / "small", 1, 0.9)
    small.save(run / "model.keras")
    with pytest.raises(ValueError, match="must fit the preset.*Received: model_dir"):
        results.ship_weights(run, tmp_path / "results", weights)


def test_the_command_line(tmp_path, capsys):
    folder = f"--results={tmp_path / 'results'}"
    run = finished_run(tmp_path / "run", 0, 0.9)
    results.main([folder, "add", str(run)])
    assert "slot_attention_0.json" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="Error.* folder of results is not"):
        results.main([f"--results={tmp_path / 'mistyped'}", "table"])
    results.main([folder, "table"])
    assert "| slot_attention | 0 | 0.900 |" in capsys.readouterr().out
    for command in ("add", "ship"):
        with pytest.raises(SystemExit, match="FileNotFoundError.* no finished run"):
            results.main([folder, command, str(tmp_path)])
    readme = tmp_path / "README.md"
    readme.write_text("".join(results._MARKS))
    options = [folder, "readme", f"--readme={readme}"]
    with pytest.raises(SystemExit, match="results differ: run"):
        results.main([*options, "--check"])
    results.main(options)
    results.main([*options, "--check"])
