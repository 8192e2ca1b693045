"""Checkpoints: by name, checked before anything is assigned."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.training import checkpoints


def autoencoder(**kwargs):
    return sa.SlotAttentionAutoEncoder(
        (8, 8),
        3,
        2,
        slot_size=8,
        encoder=sa.ConvEncoder((8, 8), filters=(4,), name="encoder"),
        decoder=sa.PixelMLPDecoder((8, 8), hidden_sizes=(8, 8), name="decoder"),
        **kwargs,
    )


def state_of(model):
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    step = tf.Variable(7, dtype=tf.int64)
    return checkpoints.training_state(model, optimizer, step, tf.Variable(0.0))


def test_names_do_not_depend_on_how_a_model_was_built(tmp_path):
    model = autoencoder()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    names = list(checkpoints.named_weights(model))
    assert list(checkpoints.named_weights(again)) == names
    assert list(checkpoints.named_weights(autoencoder())) == names
    assert "encoder/convs/0/kernel" in names
    assert "slot_attention/slot_initializer/slots_mu" in names


def test_names_of_functional_and_sequential_models():
    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(3)])
    model = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs)))
    named = checkpoints.named_weights(model)
    assert [id(weight) for weight in named.values()] == [id(w) for w in model.weights]
    assert len(named) == 6


def test_every_variable_of_the_optimizer_is_kept():
    model = autoencoder()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    optimizer.build(model.trainable_variables)
    step = tf.Variable(0, dtype=tf.int64)
    state = checkpoints.training_state(model, optimizer, step, tf.Variable(0.0))
    assert len(state.optimizer) == len(optimizer.variables)
    assert "adam/encoder/convs/0/kernel/momentum" in state.optimizer


def test_weights_of_equal_shape_cannot_be_swapped(tmp_path):
    """The order of layers may change from version to version; their names count."""
    model = autoencoder()
    path = state_of(model).save(str(tmp_path / "ckpt"))
    other = autoencoder()
    state = state_of(other)
    reordered = dict(reversed(state.model.items()))
    checkpoints.restore(tf.train.Checkpoint(model=reordered), path)
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_architecture_is_named_and_nothing_assigned(tmp_path):
    path = state_of(autoencoder()).save(str(tmp_path / "ckpt"))
    other = sa.SlotAttentionAutoEncoder((8, 8), 3, 2, slot_size=6)
    before = other.get_weights()
    with pytest.raises(
        checkpoints.CheckpointError,
        match=r"another architecture.*slots_mu: \[1, 1, 8\] -> \[1, 1, 6\]",
    ):
        checkpoints.restore(state_of(other), path)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_numbered_checkpoint_of_the_first_version_is_explained(tmp_path):
    model = autoencoder()
    old = tf.train.Checkpoint(model=[weight.value for weight in model.weights])
    path = old.save(str(tmp_path / "ckpt"))
    with pytest.raises(checkpoints.CheckpointError, match="written by version 0.1"):
        checkpoints.restore(state_of(model), path)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_broken_newest_checkpoint_is_passed_over(tmp_path, capsys, part, left):
    model = autoencoder()
    state = state_of(model)
    paths = [state.save(str(tmp_path / "ckpt")) for _ in range(2)]
    expected = model.get_weights()
    file = tmp_path / f"ckpt-2.{part}"
    file.write_bytes(file.read_bytes()[:left])
    other = autoencoder()
    assert checkpoints.restore_newest(state_of(other), paths) == paths[0]
    output = capsys.readouterr().out
    assert "ckpt-2 is broken" in output and "the one before" in output
    for a, b in zip(expected, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_readable_checkpoint_is_an_error(tmp_path):
    model = autoencoder()
    path = state_of(model).save(str(tmp_path / "ckpt"))
    (tmp_path / "ckpt-1.index").write_bytes(b"")
    with pytest.raises(checkpoints.BrokenCheckpointError, match="None of the 1"):
        checkpoints.restore_newest(state_of(model), [path])
    assert checkpoints.restore_newest(state_of(model), []) is None


def test_weights_that_are_not_finite_are_named():
    model = autoencoder()
    assert checkpoints.non_finite(model) == []
    kernel = model.encoder.convs[0].kernel
    kernel.assign(kernel * np.nan)
    (name,) = checkpoints.non_finite(model)
    assert "encoder" in name and name.endswith("kernel")
