"""Checkpoints in the reference release's layout, and what its network would give."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.reference import load_reference_checkpoint
from tests.reference import reference_network as release

MU = "slot_attention/slots_mu"


def small_autoencoder(side=32, **kwargs):
    """The release's architecture for a smaller image: all variables are the same."""
    arguments = {
        "encoder": sa.ConvEncoder((side, side)),
        "decoder": sa.SpatialBroadcastDecoder((side, side), 3, (side // 16,) * 2),
        **kwargs,
    }
    return sa.SlotAttentionAutoEncoder((side, side), 7, 3, **arguments)


def small_classifier(side=32):
    return SlotAttentionClassifier((side, side), 10, 3)


MODELS = {"autoencoder": small_autoencoder, "classifier": small_classifier}


def assert_same_outputs(model, values, rng, num_slots, iterations):
    images = rng.uniform(-1, 1, (2, *model.resolution, 3)).astype("float32")
    slots = rng.normal(size=(2, num_slots, 64)).astype("float32")
    network = (
        release.classifier
        if isinstance(model, SlotAttentionClassifier)
        else release.autoencoder
    )
    expected = network(values, images, slots, iterations)
    outputs = model(images, initial_slots=slots, num_iterations=iterations)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, want in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, want, atol=1e-4)
        assert np.std(want) > 0.01


@pytest.mark.parametrize("optimizer", [None, "slots", "list"])
@pytest.mark.parametrize("kind", MODELS)
def test_outputs_are_those_of_the_release(rng, tmp_path, kind, optimizer):
    values = release.random_values(rng, kind)
    path = release.write_checkpoint(values, tmp_path, optimizer)
    model = MODELS[kind]()
    assert load_reference_checkpoint(model, path) is model
    initializer = model.slot_attention.slot_initializer
    np.testing.assert_array_equal(initializer.mu, values[MU])
    np.testing.assert_array_equal(
        initializer.log_sigma, values["slot_attention/slots_log_sigma"]
    )
    assert_same_outputs(model, values, rng, num_slots=7, iterations=3)
    assert_same_outputs(model, values, rng, num_slots=4, iterations=5)


def test_default_model_of_128_pixels_takes_it(rng, tmp_path):
    values = release.random_values(rng, "autoencoder")
    path = release.write_checkpoint(values, tmp_path)
    model = sa.SlotAttentionAutoEncoder((128, 128), num_slots=2, num_iterations=1)
    load_reference_checkpoint(model, path)
    assert_same_outputs(model, values, rng, num_slots=2, iterations=1)


def test_folder_means_its_last_checkpoint(rng, tmp_path):
    model = small_classifier()
    for number in (900, 1000):
        values = release.random_values(rng, "classifier")
        release.write_checkpoint(values, tmp_path, number=number)
    # As in a folder copied from another machine.
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/gone/ckpt-900"\n')
    load_reference_checkpoint(model, tmp_path)
    mu = model.slot_attention.slot_initializer.mu
    np.testing.assert_array_equal(mu, values[MU])
    load_reference_checkpoint(model, str(tmp_path / "ckpt-900.index"))
    assert np.abs(mu - values[MU]).max() > 0


def test_network_is_found_where_a_real_tf_checkpoint_holds_it(rng, tmp_path):
    values = release.random_values(rng, "classifier")
    root = as_modules(values)
    path = tf.train.Checkpoint(model=root, step=tf.Variable(3)).save(tmp_path / "c")
    model = load_reference_checkpoint(small_classifier(), path)
    assert_same_outputs(model, values, rng, num_slots=3, iterations=2)


def as_modules(values):
    """Objects of TensorFlow whose checkpoint has the names of `values`."""
    root = tf.Module()
    for name, value in values.items():
        module = root
        *parents, variable = name.split("/")
        for part in parents:
            if not hasattr(module, part):
                setattr(module, part, tf.Module())
            module = getattr(module, part)
        setattr(module, variable, tf.Variable(value))
    return root


@pytest.mark.parametrize("prefix", ["", "layer_with_weights-0/"])
@pytest.mark.parametrize("kind", MODELS)
def test_restoring_it_as_the_release_does_names_the_function(
    rng, tmp_path, kind, prefix
):
    values = release.random_values(rng, kind)
    network = as_modules({prefix + name: value for name, value in values.items()})
    step = tf.Variable(0, dtype=tf.int64)
    saved = tf.train.Checkpoint(network=network, global_step=step)
    path = saved.save(tmp_path / "ckpt")
    model = MODELS[kind]()
    checkpoint = tf.train.Checkpoint(network=model, global_step=step)
    with pytest.raises(ValueError, match=r"load_reference_checkpoint\(model, path\)"):
        checkpoint.restore(path)
    # Or with a manager, as the release writes it.
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=5)
    with pytest.raises(ValueError, match="load_reference_checkpoint"):
        checkpoint.restore(manager.latest_checkpoint).expect_partial()
    load_reference_checkpoint(model, path)
    assert_same_outputs(model, values, rng, num_slots=3, iterations=2)


def test_missing_and_extra_variables_are_named_and_nothing_is_assigned(rng, tmp_path):
    values = release.random_values(rng, "autoencoder")
    del values["slot_attention/gru/bias"], values["layer_norm/gamma"]
    values["decoder_cnn/layer_with_weights-6/bias"] = np.zeros(3, "float32")
    values["slot_attention/project_q/kernel"] = np.zeros((64, 32), "float32")
    path = release.write_checkpoint(values, tmp_path)
    model = small_autoencoder()
    before = model.get_weights()
    with pytest.raises(ValueError, match="of another architecture") as error:
        load_reference_checkpoint(model, path)
    for part in (
        "missing in the checkpoint: layer_norm/gamma",
        "missing in the checkpoint: slot_attention/gru/bias",
        "missing in the model: decoder_cnn/layer_with_weights-6/bias",
        "slot_attention/project_q/kernel: [64, 32], the model needs [64, 64]",
    ):
        assert part in str(error.value)
    assert str(error.value).count("missing in ") == 3
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "kind,make,message",
    [
        (
            "autoencoder",
            small_classifier,
            "missing in the checkpoint: mlp_classifier/layer_with_weights-0/kernel",
        ),
        (
            "classifier",
            small_autoencoder,
            "missing in the checkpoint: decoder_cnn/layer_with_weights-0/kernel",
        ),
        (
            "autoencoder",
            lambda: sa.SlotAttentionAutoEncoder.from_preset(
                "tetrominoes", load_weights=False
            ),
            r"encoder_cnn/layer_with_weights-0/kernel: \[5, 5, 3, 64\], the model "
            r"needs \[5, 5, 3, 32\]",
        ),
        (
            # A transposed kernel is named by its own order of axes, [.., out, in].
            "autoencoder",
            lambda: sa.SlotAttentionAutoEncoder.from_preset(
                "multi_dsprites", load_weights=False
            ),
            r"decoder_cnn/layer_with_weights-3/kernel: \[5, 5, 64, 64\], the model "
            r"needs \[3, 3, 4, 32\]",
        ),
        (
            "autoencoder",
            lambda: small_autoencoder(decoder=sa.PixelMLPDecoder((32, 32))),
            "SpatialBroadcastDecoder.*model.decoder of type PixelMLPDecoder",
        ),
        (
            "autoencoder",
            lambda: small_autoencoder(
                encoder=keras.Sequential(
                    [keras.layers.Flatten(), keras.layers.Reshape((32, 96))]
                )
            ),
            "ConvEncoder.*model.encoder of type Sequential",
        ),
        (
            "autoencoder",
            lambda: small_autoencoder(slot_attention=sa.SlotMLP(7, 64, (32, 32))),
            "SlotAttention.*model.slot_attention of type SlotMLP",
        ),
    ],
)
def test_another_architecture_is_refused(rng, tmp_path, kind, make, message):
    path = release.write_checkpoint(release.random_values(rng, kind), tmp_path)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_reference_checkpoint(make(), path)


def test_other_files_are_refused(rng, tmp_path):
    model = small_classifier()
    with pytest.raises(FileNotFoundError, match="no such checkpoint.*nothing-1"):
        load_reference_checkpoint(model, tmp_path / "nothing-1")
    with pytest.raises(FileNotFoundError, match=r"no file \*.index"):
        load_reference_checkpoint(model, tmp_path)
    (tmp_path / "text.index").write_text("This is no checkpoint.")
    with pytest.raises(ValueError, match="cannot read a checkpoint.*text"):
        load_reference_checkpoint(model, tmp_path / "text")
    other = tf.train.Checkpoint(x=tf.Variable(1.0)).save(tmp_path / "other")
    with pytest.raises(ValueError, match=f"0 variables named .../{MU}.* begin with: "):
        load_reference_checkpoint(model, other)
    path = release.write_checkpoint(release.random_values(rng, "classifier"), tmp_path)
    with pytest.raises(TypeError, match="Received: Dense"):
        load_reference_checkpoint(keras.layers.Dense(1), path)
