"""`from_preset` and `save_to_preset`: names, runs, folders, files, the hub."""

import hashlib
import json
import sys
import types

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import pretrained
from slot_attention_tf.clevr_properties import CATEGORIES, encode_coords
from slot_attention_tf.data.generators import clevr, scenes, tetrominoes
from slot_attention_tf.models import find_model
from slot_attention_tf.models.registry import find_preset
from slot_attention_tf.training.checkpoints import training_state
from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT
from tests.models.test_base import random_images, small_model

CARDS = sorted(pretrained.FOLDER.glob("*.json"))


def test_every_file_of_weights_has_a_card():
    files = pretrained.FOLDER.glob("*.weights.h5")
    cards = {card.stem for card in CARDS}
    assert {file.name.removesuffix(".weights.h5") for file in files} <= cards
    assert {"slot_attention_tetrominoes_cpu", "slot_attention_clevr_cpu"} <= cards


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.stem)
def test_shipped_weights_fit_their_preset_and_say_where_they_come_from(file):
    card = json.loads(file.read_text())
    for key in ("dataset", "seconds", "device", "versions", "command", "scores"):
        assert card[key], key
    assert card["steps"] > 0 and card["seed"] >= 0
    entry = find_model(card["task"], card["model_name"])
    assert file == pretrained.card_file(entry.name, card["preset"])
    model_class = entry.model_class
    (key,) = (
        key
        for key in model_class.presets
        if find_preset(model_class, key) == (entry, card["preset"])
    )
    # Weights that do not fit are an error.
    assert type(model_class.from_preset(key)) is model_class
    if "url" not in card:
        weights = file.with_suffix(".weights.h5").read_bytes()
        assert hashlib.sha256(weights).hexdigest() == card["sha256"]
        assert len(weights) <= pretrained.LARGEST
    if "earlier_code" not in card:
        row = json.loads((ROOT / "results" / card["row"]).read_text())
        assert row["evaluation"] == card["scores"]
        for key in ("task", "model_name", "preset", "dataset", "seed", "command"):
            assert row[key] == card[key], key


def test_shipped_autoencoder_finds_the_pieces():
    model = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", seed=0)
    # Scenes that no run has seen, of a stream of their own.
    drawn = scenes.generate_scenes(tetrominoes.draw_scene, 32, seed=123)
    images = sa.preprocess_images(drawn["image"])
    _, _, masks, _ = model(images)
    labels = np.asarray(masks)[..., 0].argmax(axis=1)
    ari = np.asarray(sa.adjusted_rand_index(drawn["segmentation"][..., 0], labels))
    assert ari.mean() > 0.85


def test_shipped_classifier_describes_the_objects():
    model = sa.SlotAttentionClassifier.from_preset("clevr_cpu", seed=0)
    options = {
        "resolution": (64, 64),
        "crop": None,
        "min_objects": 1,
        "max_objects": 4,
    }
    drawn = scenes.generate_scenes(clevr.draw_scene, 64, 123, **options)
    images = sa.preprocess_images(drawn["image"])
    entities = {name: drawn[name][:, 1:5] for name in CATEGORIES}
    one_hot = [
        np.eye(len(values))[entities[name].astype(int)]
        for name, values in CATEGORIES.items()
    ]
    exists = drawn["visibility"][:, 1:5, None]
    coords = encode_coords(drawn["3d_coords"][:, 1:5])
    targets = np.concatenate([coords, *one_hot, exists], axis=-1) * exists
    predictions = np.asarray(model(images))
    assert sa.average_precision_clevr(predictions, targets, np.inf) > 0.6


def test_a_preset_without_weights_is_one_warning_that_names_the_ways_out():
    with pytest.warns(UserWarning) as warned:
        model = sa.SlotAttentionAutoEncoder.from_preset("slot_mlp/tetrominoes")
    (warning,) = warned
    assert warning.filename == __file__ and model.num_slots == 4
    for part in (
        "'slot_mlp/tetrominoes' of SlotAttentionAutoEncoder",
        "is untrained",
        "train('discovery', model='slot_mlp', preset='tetrominoes', model_dir=...)",
        "load_weights=False",
    ):
        assert part in str(warning.message)
    # Warnings are errors here: there is none.
    sa.SlotAttentionAutoEncoder.from_preset("slot_mlp/tetrominoes", load_weights=False)


def test_overrides_keep_the_weights_or_are_refused():
    original = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
    model = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", num_slots=9, num_iterations=2, seed=3
    )
    assert (model.num_slots, model.num_iterations, model.seed) == (9, 2, 3)
    assert_same_weights(model, original)
    shorter = {
        "encoder_filters": (64, 64),
        "encoder_kernel_size": (7, 3),
        "encoder_strides": (5, 1),
    }
    for sizes in ({"slot_size": 32}, shorter):
        words = rf"(?s)'tetrominoes_cpu'.*load_weights=False.*{next(iter(sizes))}="
        with pytest.raises(ValueError, match=words):
            sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", **sizes)
        model = sa.SlotAttentionAutoEncoder.from_preset(
            "tetrominoes_cpu", load_weights=False, **sizes
        )
        assert model.count_params() < original.count_params()


def test_weights_on_a_server_are_fetched_and_checked(tmp_path, monkeypatch):
    (file,) = pretrained.FOLDER.glob("slot_attention_tetrominoes_cpu.weights.h5")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    get_file = keras.utils.get_file
    monkeypatch.setattr(
        keras.utils,
        "get_file",
        lambda *args, **kwargs: get_file(*args, cache_dir=tmp_path, **kwargs),
    )
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    card = pretrained.card_file("slot_attention", "tetrominoes", tmp_path)
    card.write_text(json.dumps({"url": file.as_uri(), "sha256": sha256}))
    path = pretrained.find_weights("slot_attention", "tetrominoes")
    assert path.startswith(str(tmp_path))
    model = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", load_weights=False
    )
    model.load_weights(path)
    card.write_text(json.dumps({"url": file.as_uri(), "sha256": "0" * 64}))
    with pytest.raises(ValueError, match="corrupted"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes")


def assert_same_weights(a, b):
    for x, y in zip(a.trainable_weights, b.trainable_weights, strict=True):
        np.testing.assert_array_equal(x, y)


def write_run(folder, model, finished=True):
    run = RunDirectory(folder)
    serialized = keras.saving.serialize_keras_object(model)
    run.open_run(
        {"task": "discovery", "model_name": "x", "model": serialized, "settings": {}}
        | dict.fromkeys(("preset", "dataset", "seed"))
    )
    if finished:
        model.save(run.model_file)


def write_checkpoint(folder, model):
    import tensorflow as tf

    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    step, seconds = tf.Variable(7, dtype=tf.int64), tf.Variable(1.0)
    state = training_state(model, optimizer, step, seconds)
    tf.train.CheckpointManager(state, str(folder / "checkpoints"), 5).save()


def as_folder(model, path):
    model.save_to_preset(path)
    written = {file.name for file in path.iterdir() if file.is_file()}
    assert written == {"config.json", "metadata.json", "model.weights.h5"}
    # As the Hugging Face Hub adds them.
    for name in ("README.md", ".gitattributes"):
        (path / name).write_text("text")
    return path


def as_file(model, path):
    path = path.with_suffix(".keras")
    model.save(path)
    return path


def as_finished_run(model, path):
    write_run(path, model)
    return path


def as_unfinished_run(model, path):
    write_run(path, model, finished=False)
    write_checkpoint(path, model)
    return path


PLACES = (as_folder, as_file, as_finished_run, as_unfinished_run)


@pytest.mark.parametrize("write", PLACES)
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_from_preset_takes_what_was_saved(write, kind, rng, tmp_path):
    model = small_model("autoencoder")
    model.compile()
    path = kind(write(model, tmp_path / "saved"))
    loaded = sa.SlotAttentionAutoEncoder.from_preset(path)
    start = {"initial_slots": rng.normal(size=(4, 3, 8)).astype("float32")}
    images = random_images(rng)
    for a, b in zip(model(images, **start), loaded(images, **start), strict=True):
        np.testing.assert_array_equal(a, b)
    untrained = sa.SlotAttentionAutoEncoder.from_preset(path, load_weights=False)
    first, other = (m.encoder.convs[0].kernel for m in (model, untrained))
    assert np.any(np.asarray(first) != np.asarray(other))


@pytest.mark.parametrize("write", PLACES)
def test_arguments_of_what_was_saved_can_be_replaced(write, rng, tmp_path):
    model = small_model("autoencoder")
    path = write(model, tmp_path / "saved")
    from_preset = sa.SlotAttentionAutoEncoder.from_preset
    loaded = from_preset(path, num_slots=5, dtype="mixed_bfloat16", name="five")
    assert_same_weights(model, loaded)
    assert loaded.name == "five" and loaded.encoder.name == model.encoder.name
    for layer in (loaded.decoder, loaded.slot_attention.gru):
        assert layer.compute_dtype == "bfloat16"
    assert loaded(random_images(rng))[2].shape == (4, 5, 8, 6, 1)
    with pytest.raises(ValueError, match="load_weights=False.*slot_size=4"):
        from_preset(path, slot_size=4)
    other = from_preset(path, load_weights=False, slot_size=4)
    assert other(random_images(rng))[3].shape == (4, 3, 4)
    with pytest.raises(ValueError, match="arguments of .* resolution.*Received: slots"):
        from_preset(path, slots=4)


@pytest.mark.slow
def test_keras_reads_what_save_to_preset_wrote(rng, tmp_path):
    model = small_model("autoencoder")
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(random_images(rng), verbose=0)
    model.save_to_preset(tmp_path / "saved")
    loaded = keras.saving.load_model(tmp_path / "saved")
    assert_same_weights(model, loaded)
    assert int(loaded.optimizer.iterations) == 1
    # Again, over what is there.
    loaded.fit(random_images(rng), verbose=0)
    loaded.save_to_preset(tmp_path / "saved")
    again = sa.SlotAttentionAutoEncoder.from_preset(tmp_path / "saved")
    assert_same_weights(again, loaded)


@pytest.mark.parametrize("write", PLACES)
def test_another_model_is_named(write, tmp_path):
    model = sa.MONet((8, 6), 3, attention_filters=(4, 6), encoder_filters=(4,))
    path = write(model, tmp_path / "saved")
    words = r"(?s)saved.* holds a MONet: call MONet.from_preset, or keras.saving.load"
    with pytest.raises(ValueError, match=words):
        sa.SlotAttentionAutoEncoder.from_preset(path)
    assert_same_weights(sa.MONet.from_preset(path), model)


def test_what_is_no_preset_is_refused(tmp_path):
    from_preset = sa.SlotAttentionAutoEncoder.from_preset
    with pytest.raises(ValueError, match=r"folder.*hf://.*clevr6.*preset='clevr7'"):
        from_preset("clevr7")
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        from_preset(tmp_path / "none.keras")
    with pytest.raises(ValueError, match="neither a training run nor"):
        from_preset(tmp_path)
    write_run(tmp_path, small_model("autoencoder"), finished=False)
    with pytest.raises(FileNotFoundError, match="before the first checkpoint"):
        from_preset(tmp_path)
    with pytest.raises(ValueError, match=r"(?s)training run.*overwritten.*Received: f"):
        small_model("autoencoder").save_to_preset(tmp_path)
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(ValueError, match="by its content is no file of Keras"):
        from_preset(tmp_path / "text.keras")


def test_models_of_the_hugging_face_hub(tmp_path, monkeypatch):
    model = small_model("autoencoder")
    folder = as_folder(model, tmp_path / "user--name")
    asked = []

    def snapshot_download(repo_id, **options):
        asked.append(repo_id)
        return str(folder)

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    loaded = sa.SlotAttentionAutoEncoder.from_preset("hf://user/name")
    assert asked == ["user/name"]
    assert_same_weights(loaded, model)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub.*hf://user"):
        sa.SlotAttentionAutoEncoder.from_preset("hf://user/name")


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_weights_of_another_model_are_refused(kind, tmp_path):
    path = tmp_path / f"model.{kind}"
    model = small_model("classifier")
    (model.save if kind == "keras" else model.save_weights)(path)
    words = r"(?s)do not fit this SlotAttentionAutoEncoder.*another model.*Received: f"
    with pytest.raises(ValueError, match=words):
        small_model("autoencoder").load_weights(path)
    other = {"keras": "weights.h5", "weights.h5": "keras"}[kind]
    path = path.rename(tmp_path / f"renamed.{other}")
    with pytest.raises(ValueError, match=rf"by its content is \.{kind}"):
        model.load_weights(path)
