"""Weights for presets: those of the package by name, and files."""

import json

import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import pretrained
from slot_attention_tf.clevr_properties import CATEGORIES, encode_coords
from slot_attention_tf.data.generators import clevr, scenes, tetrominoes


def test_what_the_package_ships_says_where_it_comes_from():
    assert pretrained.shipped() == [
        ("clevr_cpu", "synthetic"),
        ("tetrominoes_cpu", "synthetic"),
    ]
    for preset, name in pretrained.shipped():
        file = pretrained.FOLDER / f"{preset}_{name}.json"
        record = json.loads(file.read_text())
        assert {"score", "seed", "data", "training"} <= set(record)


def test_shipped_autoencoder_finds_the_pieces():
    model = sa.SlotAttentionAutoEncoder.from_preset(
        "tetrominoes_cpu", weights="synthetic", seed=0
    )
    # Scenes that no run has seen, of a stream of their own.
    drawn = scenes.generate_scenes(tetrominoes.draw_scene, 32, seed=123)
    images = sa.preprocess_images(drawn["image"])
    _, _, masks, _ = model(images)
    labels = np.asarray(masks)[..., 0].argmax(axis=1)
    ari = np.asarray(sa.adjusted_rand_index(drawn["segmentation"][..., 0], labels))
    assert ari.mean() > 0.85


def test_shipped_classifier_describes_the_objects():
    model = sa.SlotAttentionClassifier.from_preset(
        "clevr_cpu", weights="synthetic", seed=0
    )
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


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "small.weights.h5"
    encoder = sa.ConvEncoder((35, 35), filters=(4,))
    sa.SlotAttentionAutoEncoder((35, 35), 4, 3, encoder=encoder).save_weights(path)
    with pytest.raises(ValueError, match=r"another architecture.*small\.weights"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", weights=path)


def test_missing_weights_are_named(tmp_path):
    path = tmp_path / "none.keras"
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", weights=path)
    with pytest.raises(ValueError, match=r"(?s)'tetrominoes_cpu', 'synthetic'.*'x'"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", weights="x")


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, kind):
    model = sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
    other = {"keras": "weights.h5", "weights.h5": "keras"}[kind]
    written = tmp_path / f"model.{kind}"
    (model.save if kind == "keras" else model.save_weights)(written)
    path = written.rename(tmp_path / f"renamed.{other}")
    with pytest.raises(ValueError, match=rf"by its content is \.{kind}"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", weights=path)
    path.write_text("nothing of Keras")
    with pytest.raises(ValueError, match="by its content is no file of Keras"):
        sa.SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu", weights=path)
