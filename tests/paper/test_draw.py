"""`python eval/paper.py`: from a folder of results to tables, figures and a page."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slot_attention_tf.paper.draw import draw_paper
from slot_attention_tf.results import read_rows
from tests.conftest import ROOT
from tests.paper import handmade


def run_paper(*arguments, options=()):
    return subprocess.run(
        [sys.executable, "-W", "error", *options, "eval/paper.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def find(records, **wanted):
    (found,) = (r for r in records if all(r[k] == v for k, v in wanted.items()))
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What the script makes of a hand-made folder, and what it imports."""
    folder = tmp_path_factory.mktemp("paper")
    handmade.write_discovery(folder / "results")
    handmade.write_set_prediction(folder / "results")
    process = run_paper(
        f"--results={folder / 'results'}",
        f"--out={folder / 'out'}",
        options=("-X", "importtime"),
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.strip() == str(folder / "out" / "index.html")
    return folder / "out", process.stderr


def test_it_imports_neither_tensorflow_nor_keras(drawn):
    modules = set(re.findall(r"\|\s+([\w.]+)\n", drawn[1]))
    assert "numpy" in modules and not {"tensorflow", "keras"} & modules


def test_the_page_shows_every_file_and_runs_no_script(drawn):
    out, page = drawn[0], (drawn[0] / "index.html").read_text("utf-8")
    shown = set(re.findall(r'(?:src|href)="([^"#:]+)"', page))
    assert shown == {path.name for path in out.iterdir()} - {"index.html"}
    assert "<script" not in page and "prefers-color-scheme: dark" in page
    for text in ("1 of 2 failed (seed 1)", "paper 0.988 ± 0.003", "an abacus"):
        assert text in page
    for name in ("figure_2", "figure_3b_clevr6", "figure_4", "figure_5a", "figure_6"):
        with Image.open(out / f"{name}.png") as picture:
            assert min(picture.size) > 100


def test_table_1_is_mean_and_spread_over_all_seeds(drawn):
    records = read_csv(drawn[0] / "table_1.csv")
    cell = find(records, experiment="clevr6", model="slot_attention")
    values = np.array(list(handmade.FG_ARI.values()))
    assert float(cell["mean"]) == pytest.approx(values.sum() / 2)
    spread = np.sqrt(((values - values.mean()) ** 2).mean())
    assert float(cell["std"]) == pytest.approx(spread)
    assert (cell["num_runs"], cell["seeds"]) == ("2", "0 1")
    assert (cell["num_failed"], cell["failed_seeds"]) == ("1", "1")
    assert cell["num_restarts"] == "1" and "stripes" in cell["note"]
    assert (cell["paper_mean"], cell["paper_std"]) == ("0.988", "0.003")
    cell = find(
        read_csv(drawn[0] / "table_1_mse.csv"), experiment="clevr6", num_runs="2"
    )
    assert float(cell["mean"]) == pytest.approx(0.00225)


def test_cells_that_were_not_run_are_empty_and_say_so(drawn):
    records = read_csv(drawn[0] / "table_1.csv")
    assert len(records) == 16
    for record in records:
        if record["experiment"] != "clevr6" or record["model"] != "slot_attention":
            assert record["mean"] == record["seeds"] == ""
            assert record["note"] == "not run"
    known = find(records, experiment="tetrominoes", model="iodine")
    assert known["paper_mean"] == "0.992"
    page = (drawn[0] / "index.html").read_text("utf-8")
    empty = '<td><div class="note">not run</div><div class="paper">paper 0.992 ± 0.004'
    assert empty in page


def test_average_precision(drawn):
    records = read_csv(drawn[0] / "table_ap.csv")
    for index, score in enumerate(("AP@inf", "AP@1", "AP@0.5", "AP@0.25", "AP@0.125")):
        names = {"experiment": "clevr10", "model": "slot_attention", "score": score}
        cell = find(records, **names)
        values = [handmade.AP[seed][index] for seed in (0, 1)]
        assert float(cell["mean"]) == pytest.approx(np.mean(values))
    assert find(records, **{**names, "model": "dspn"})["note"] == "not run"
    points = read_csv(drawn[0] / "figure_5a.csv")
    assert [float(each["mean"]) for each in points] == pytest.approx(
        np.mean(list(handmade.AP.values()), axis=0)
    )


def test_the_attention_is_beside_the_paper(drawn):
    records = read_csv(drawn[0] / "table_attention.csv")
    cell = find(records, experiment="clevr10")
    values = np.array(list(handmade.ATTENTION.values()))
    assert float(cell["mean"]) == pytest.approx(values.mean())
    assert float(cell["std"]) == pytest.approx(np.abs(values - values.mean()).mean())
    assert (cell["paper_mean"], cell["paper_std"]) == ("0.78", "0.029")
    assert find(records, experiment="tetrominoes")["note"] == "not run"
    # The rows of CLEVR6 were scored without attention.
    assert find(records, experiment="clevr6", num_runs="2")["mean"] == ""
    page = (drawn[0] / "index.html").read_text("utf-8")
    assert "paper 0.780 ± 0.029" in page


def test_the_costs(drawn):
    records = read_csv(drawn[0] / "table_cost.csv")
    cost = find(records, experiment="clevr6", model="slot_attention")
    assert (cost["parameters"], cost["batch_size"]) == ("1234", "32")
    assert float(cost["seconds"]) == 90 and float(cost["ms_per_step"]) == 90
    assert cost["device"] == "an abacus"
    assert find(records, experiment="clevr6", model="monet")["note"] == "not run"


def test_lines_are_the_sweeps(drawn):
    points = read_csv(drawn[0] / "figure_2.csv")
    label = "K = 7, up to 6 objects"
    line = {int(each["x"]): each for each in points if each["line"] == label}
    assert sorted(line) == [1, 2, 3, 5]
    for t, score in handmade.SWEEP.items():
        assert float(line[t]["mean"]) == pytest.approx(score - 0.05)
        assert float(line[t]["std"]) == pytest.approx(0.05)
    assert float(line[3]["mean"]) == pytest.approx(0.7)  # The evaluation itself.
    others = {each["line"] for each in points} - {label}
    assert others == {"K = 11, up to 10 objects"}
    points = read_csv(drawn[0] / "figure_5b.csv")
    line = [each for each in points if each["line"] == "AP@1"]
    assert [(e["x"], round(float(e["mean"]), 6)) for e in line] == [
        ("1", 0.1),
        ("2", 0.2),
        ("3", 0.75),
    ]
    points = read_csv(drawn[0] / "figure_5c.csv")
    line = [each for each in points if each["line"] == "AP@1"]
    assert [float(each["mean"]) for each in line] == pytest.approx([0.35, 0.4])


def test_all_points_of_a_line_are_of_the_same_seeds(tmp_path):
    handmade.write_discovery(tmp_path / "results")
    trained = {"split": "test", "num_slots": 7, "num_iterations": 3, "fg_ari": 0.1}
    trained |= {"max_num_objects": 6, "stripes": 0.1, "mse": 0.002}
    name = ("discovery", "clevr6_cpu", "slot_attention")
    handmade.write_row(tmp_path / "results", *name, 2, trained)  # No sweeps.
    draw_paper(tmp_path / "results", tmp_path / "out")
    points = read_csv(tmp_path / "out" / "figure_2.csv")
    point = find(points, line="K = 7, up to 6 objects", x="3")
    assert point["num_runs"] == "2" and float(point["mean"]) == pytest.approx(0.7)
    cell = find(
        read_csv(tmp_path / "out" / "table_1.csv"), experiment="clevr6", num_runs="3"
    )
    assert float(cell["mean"]) == pytest.approx(0.5)


def test_other_data_have_a_table(drawn):
    records = read_csv(drawn[0] / "table_other_data.csv")
    cell = find(records, score="fg_ari", dataset="renders")
    assert float(cell["mean"]) == pytest.approx(0.7)
    assert float(cell["std"]) == pytest.approx(0.1)


def test_runs_on_other_data_are_not_averaged(tmp_path):
    scores = {"fg_ari": 0.2, "mse": 0.1, "stripes": 0.1}
    names = ("discovery", "tetrominoes_cpu", "slot_attention")
    for seed in range(3):
        dataset = "real" if seed == 2 else "synthetic"
        handmade.write_row(tmp_path, *names, seed, scores, dataset=dataset)
    draw_paper(tmp_path, tmp_path / "out")
    records = read_csv(tmp_path / "out" / "table_1.csv")
    found = [r for r in records if r["mean"]]
    assert [(r["dataset"], r["seeds"]) for r in found] == [
        ("synthetic", "0 1"),
        ("real", "2"),
    ]
    assert found[1]["std"] == ""  # One run has no spread.


def test_an_empty_folder_draws_empty_frames(tmp_path):
    (tmp_path / "results").mkdir()
    page = draw_paper(tmp_path / "results", tmp_path / "out", size="paper")
    assert page.read_text("utf-8").count("not run") > 40
    for name in ("figure_2", "figure_5a", "table_other_data"):
        (record,) = read_csv(tmp_path / "out" / f"{name}.csv")
        assert record["note"] == "not run"


@pytest.mark.slow
def test_the_results_of_this_repository_are_drawn(tmp_path):
    process = run_paper(f"--out={tmp_path}")
    assert process.returncode == 0, process.stderr[-2000:]
    records = read_csv(tmp_path / "table_1.csv")
    cell = find(records, experiment="tetrominoes", model="slot_attention")
    values = [
        row["evaluation"]["fg_ari"]
        for row in read_rows(ROOT / "results").values()
        if (row["preset"], row["model_name"]) == ("tetrominoes_cpu", "slot_attention")
    ]
    assert int(cell["num_runs"]) == len(values) >= 2
    assert float(cell["mean"]) == pytest.approx(np.mean(values))
    # White sprites have been trained with one start and with three.
    names = {"experiment": "multi_dsprites_binarized", "model": "slot_attention"}
    for starts in ("1", "3"):
        cell = find(records, **names, num_starts=starts)
        assert cell["num_runs"] == "5" and float(cell["mean"]) > 0.5


def broken_json(folder):
    path = handmade.write_row(folder, "discovery", "clevr6_cpu", "monet", 0, {})
    path.write_text('{"task": ')
    return r"ValueError: .*monet_0.json is not JSON: restore it"


def no_row(folder):
    path = handmade.write_row(folder, "discovery", "clevr6_cpu", "monet", 0, {})
    path.write_text('{"task": "discovery"}')
    return r"ValueError: .*monet_0.json is not the row of a run: `preset` must be"


def broken_examples(folder):
    handmade.write_discovery(folder)
    (folder / "discovery/clevr6_cpu/slot_attention_0.npz").write_bytes(b"PK nothing")
    return r"ValueError: .*slot_attention_0.npz holds no examples: delete it"


def other_examples(folder):
    handmade.write_discovery(folder)
    file = folder / "discovery/clevr6_cpu/slot_attention_0.npz"
    np.savez(file, image=np.zeros([1, 2, 2, 3], "uint8"))
    return r"ValueError: .*Received: a file without reconstruction, masks, slot_images"


def nothing(folder):
    return r"FileNotFoundError: The folder of results is not there.*Received: results="


@pytest.mark.parametrize(
    "spoil", [broken_json, no_row, broken_examples, other_examples, nothing]
)
def test_bad_results_end_with_one_line(spoil, tmp_path):
    message = spoil(tmp_path / "results")
    process = run_paper(f"--results={tmp_path / 'results'}", f"--out={tmp_path / 'o'}")
    assert process.returncode == 1 and process.stdout == ""
    assert len(process.stderr.splitlines()) == 1
    assert re.match(message, process.stderr)
    assert not (tmp_path / "o").exists()


def test_bad_arguments(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder, not a file.*file"):
        draw_paper(tmp_path, tmp_path / "file")
    with pytest.raises(ValueError, match="Sizes are cpu, paper.*size='huge'"):
        draw_paper(tmp_path, tmp_path / "out", size="huge")
    process = run_paper()
    assert process.stderr.startswith("ValueError: Say where to write: --out=DIR")
