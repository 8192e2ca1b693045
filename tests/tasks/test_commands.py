"""slot-attention-eval and slot-attention-extract on runs of both tasks."""

import functools

import numpy as np
import pytest
from PIL import Image

import slot_attention_tf as sa
from slot_attention_tf.commands import evaluate, extract
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.runs import load_run
from slot_attention_tf.training.run_directory import RunDirectory
from tests.tasks import tiny


@pytest.fixture(scope="module")
def discovery(discovery_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "discovery"
    arguments = tiny.as_arguments(tiny.DISCOVERY, discovery_data)
    sa.train("discovery", model_dir=str(folder), **arguments)
    return folder


@pytest.fixture(scope="module")
def sets(set_prediction_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "sets"
    arguments = tiny.as_arguments(tiny.SET_PREDICTION, set_prediction_data)
    sa.train("set_prediction", model_dir=str(folder), **arguments)
    return folder


@pytest.fixture
def run_eval(run_installed):
    return functools.partial(run_installed, evaluate.any_task, num_pictures=1)


@pytest.fixture
def run_extract(run_installed, tmp_path):
    return functools.partial(
        run_installed, extract.main, out=tmp_path / "folder" / "slots.npz"
    )


def load(tmp_path):
    with np.load(tmp_path / "folder" / "slots.npz") as file:
        return dict(file)


@pytest.mark.slow
def test_eval_takes_a_run_of_either_task(
    run_eval, discovery, sets, discovery_data, set_prediction_data, capsys
):
    assert not run_eval(model_dir=discovery, data_dir=discovery_data)
    assert "FG-ARI" in capsys.readouterr().out
    options = {"sweep_iterations": 2, "data_dir": set_prediction_data}
    assert not run_eval(model_dir=sets, **options)
    output = capsys.readouterr().out
    assert "AP@inf" in output and "T =  2" in output and "2 objects, K =  2" in output
    for folder in (discovery, sets):
        first, again, *others = RunDirectory(folder).read_evaluations()
        same = first.keys() - {"seconds"}
        assert {k: first[k] for k in same} == {k: again[k] for k in same}
    # Each line of the comparisons is a row too; `others` are those of the sets.
    swept, *counted = others
    assert (swept["num_iterations"], swept["num_objects"]) == (2, None)
    assert [row["num_objects"] for row in counted] == [2, 3, 4]
    assert all(row["num_slots"] == row["num_objects"] for row in counted)
    assert swept["attention_fg_ari"] >= -1


def test_eval_needs_a_run(run_eval, tmp_path):
    assert "--model_dir=DIR" in run_eval()
    assert "holds no run" in run_eval(model_dir=tmp_path)


def test_slots_masks_and_scores_of_a_dataset(
    run_extract, discovery, discovery_data, tmp_path
):
    options = {"data_dir": discovery_data, "num_scenes": 5, "batch_size": 2}
    assert not run_extract(model=discovery, **options)
    arrays = load(tmp_path)
    assert arrays["slots"].shape == (5, 4, 16) and arrays["slots"].dtype == "float32"
    assert arrays["masks"].shape == (5, 4, 35, 35)
    assert arrays["masks"].dtype == "float16"
    np.testing.assert_allclose(arrays["masks"].sum(axis=1, dtype=float), 1, atol=2e-3)
    run = load_run(discovery, find_task)
    dataset = run.task.open_dataset(run.preset, "test", discovery_data, num_scenes=5)
    scores = run.task.evaluate(run.model, dataset)
    for name in ("fg_ari", "mbo", "mse"):
        assert arrays[name].shape == (5,)
        assert np.nanmean(arrays[name]) == pytest.approx(scores[name], abs=1e-6)
    message = run_extract(model=discovery, **options)
    assert "is there already" in message and "--overwrite" in message
    assert not run_extract(model=discovery, overwrite="true", masks="false", **options)
    assert "masks" not in load(tmp_path)


def test_slots_of_photos_are_those_of_the_model(run_extract, discovery, rng, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = rng.integers(0, 256, size=(3, 35, 35, 3), dtype="uint8")
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(photos / f"{number}.png")
    model = discovery / "model.keras"
    assert not run_extract(photos, model=model, batch_size=2, num_slots=6)
    arrays = load(tmp_path)
    assert [name[-5:] for name in arrays["files"]] == ["0.png", "1.png", "2.png"]
    assert arrays.keys() == {"files", "slots", "masks"}
    model = load_run(discovery, find_task).model
    noise = np.stack(
        [
            np.random.default_rng([0, i]).standard_normal((6, 16), "float32")
            for i in range(3)
        ]
    )
    _, _, masks, slots = model(sa.preprocess_images(pixels), noise=noise)
    np.testing.assert_allclose(arrays["slots"], slots, atol=1e-5)
    np.testing.assert_allclose(arrays["masks"], np.asarray(masks)[..., 0], atol=1e-3)


def test_predictions_and_targets_of_sets(
    run_extract, sets, set_prediction_data, tmp_path
):
    options = {"data_dir": set_prediction_data, "num_scenes": 3}
    assert not run_extract(model=sets, **options)
    arrays = load(tmp_path)
    assert {k: v.shape for k, v in arrays.items()} == {
        "predictions": (3, 4, 19),
        "target": (3, 4, 19),
    }


def test_what_extract_lacks_is_said(run_extract, discovery, tmp_path):
    assert "--out=FILE.npz" in run_extract()
    assert "--out=slots.csv" in run_extract(model=discovery, out="slots.csv")
    message = run_extract(model=discovery / "model.keras")
    assert "does not say what data" in message
    (tmp_path / "a.png").write_text("no photo")
    assert "a.png cannot be read" in run_extract(tmp_path / "a.png", model=discovery)
    assert not (tmp_path / "folder").exists()
