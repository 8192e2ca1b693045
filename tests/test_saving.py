"""Every public layer and model goes through the checks of `saving_checks`."""

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf import layers, models
from tests.saving_checks import run_saving_checks


def encoder(**kwargs):
    return sa.ConvEncoder((8, 6), filters=(4, 5), strides=(2, 1), **kwargs)


def small_autoencoder(decoder, implicit_differentiation=False, **kwargs):
    return sa.SlotAttentionAutoEncoder(
        (8, 6),
        3,
        2,
        slot_size=8,
        mlp_hidden_size=8,
        implicit_differentiation=implicit_differentiation,
        encoder=encoder(**kwargs),
        decoder=decoder,
        seed=1,
        **kwargs,
    )


def small_classifier(**kwargs):
    return sa.SlotAttentionClassifier(
        (8, 6), 3, 2, slot_size=8, encoder=encoder(**kwargs), seed=1, **kwargs
    )


def small_dspn(**kwargs):
    return sa.DSPN(
        (8, 6),
        3,
        2,
        latent_size=8,
        set_encoder_size=8,
        encoder=encoder(dtype=kwargs.get("dtype")),
        seed=1,
        **kwargs,
    )


NOISE = np.random.default_rng(2).normal(size=(4, 3, 19)).astype("float32")
INITIAL = {"initial_slots": np.random.default_rng(1).normal(size=(4, 3, 8))}
RANDOM_STATES = 2  # Of the initial slots, and one in every GRUCell, for dropout.
IMAGES = (8, 6, 3)
RECONSTRUCTION = [(8, 6, 3), (3, 8, 6, 3), (3, 8, 6, 1), (3, 8)]

# Name: class, constructor, shape of an input, and what to expect.
CASES = {
    "slot_attention": (
        sa.SlotAttention,
        lambda **kwargs: sa.SlotAttention(2, 3, 8, 16, epsilon=1e-6, **kwargs),
        (10, 5),
        {
            "call_arguments": INITIAL,
            "output_shape": (3, 8),
            "num_trainable": 18,
            "num_non_trainable": RANDOM_STATES,
        },
    ),
    "implicit_slot_attention": (
        sa.SlotAttention,
        lambda **kwargs: sa.SlotAttention(
            2, 3, 8, 16, implicit_differentiation=True, seed=4, **kwargs
        ),
        (10, 5),
        {
            "output_shape": (3, 8),
            "num_trainable": 18,
            "num_non_trainable": RANDOM_STATES,
            "mixed_precision_atol": None,
        },
    ),
    "slot_initializer": (
        sa.SlotInitializer,
        lambda **kwargs: sa.SlotInitializer(8, seed=2, **kwargs),
        (10, 5),
        {
            "call_arguments": {"num_slots": 3},
            "output_shape": (3, 8),
            "num_trainable": 2,
            "num_non_trainable": 1,
            "mixed_precision_atol": None,
        },
    ),
    "fixed_slot_initializer": (
        sa.FixedSlotInitializer,
        lambda **kwargs: sa.FixedSlotInitializer(8, 4, seed=2, **kwargs),
        (10, 5),
        {
            "call_arguments": {"num_slots": 3},
            "output_shape": (3, 8),
            "num_trainable": 2,
            "num_non_trainable": RANDOM_STATES,
        },
    ),
    "slot_mlp": (
        sa.SlotMLP,
        lambda **kwargs: sa.SlotMLP(3, 8, (2, 5), (2, 3), (7, 6), **kwargs),
        (10, 5),
        {"output_shape": (3, 8), "num_trainable": 6},
    ),
    "soft_position_embed": (
        sa.SoftPositionEmbed,
        lambda **kwargs: sa.SoftPositionEmbed(5, (4, 3), **kwargs),
        (4, 3, 5),
        {"output_shape": (4, 3, 5), "num_trainable": 2},
    ),
    "conv_encoder": (
        sa.ConvEncoder,
        encoder,
        IMAGES,
        {"output_shape": (12, 5), "num_trainable": 12},
    ),
    "encoder_with_colors": (
        sa.ConvEncoder,
        lambda **kwargs: encoder(append_colors=True, **kwargs),
        IMAGES,
        {"output_shape": (12, 8), "num_trainable": 12},
    ),
    "pixel_mlp_decoder": (
        sa.PixelMLPDecoder,
        lambda **kwargs: sa.PixelMLPDecoder((8, 6), hidden_sizes=(8, 4), **kwargs),
        (3, 8),
        {"output_shape": (3, 8, 6, 4), "num_trainable": 7},
    ),
    "patch_mlp_decoder": (
        sa.PixelMLPDecoder,
        lambda **kwargs: sa.PixelMLPDecoder((8, 6), patch_size=2, **kwargs),
        (3, 8),
        {"output_shape": (3, 8, 6, 4), "num_trainable": 7},
    ),
    "full_size_decoder": (
        sa.SpatialBroadcastDecoder,
        lambda **kwargs: sa.SpatialBroadcastDecoder(
            (8, 6), 2, (8, 6), filters=(4, 5), strides=1, **kwargs
        ),
        (3, 8),
        {"output_shape": (3, 8, 6, 3), "num_trainable": 8},
    ),
    "strided_decoder": (
        sa.SpatialBroadcastDecoder,
        lambda **kwargs: sa.SpatialBroadcastDecoder(
            (8, 6), 2, (4, 3), filters=(4, 5), strides=(2, 1), **kwargs
        ),
        (3, 8),
        {"output_shape": (3, 8, 6, 3), "num_trainable": 8},
    ),
    "broadcast_patches_decoder": (
        sa.SpatialBroadcastDecoder,
        lambda **kwargs: sa.SpatialBroadcastDecoder(
            (8, 6), 2, (4, 3), filters=(4,), strides=1, patch_size=2, **kwargs
        ),
        (3, 8),
        {"output_shape": (3, 8, 6, 3), "num_trainable": 6},
    ),
    "autoencoder": (
        sa.SlotAttentionAutoEncoder,
        lambda **kwargs: small_autoencoder(
            sa.SpatialBroadcastDecoder(
                (8, 6), 3, (8, 6), filters=(4,), strides=1, **kwargs
            ),
            **kwargs,
        ),
        IMAGES,
        {
            "call_arguments": INITIAL,
            "output_shape": RECONSTRUCTION,
            "num_trainable": 12 + 18 + 6,
            "num_non_trainable": RANDOM_STATES,
        },
    ),
    "pixel_autoencoder": (
        sa.SlotAttentionAutoEncoder,
        lambda **kwargs: small_autoencoder(
            sa.PixelMLPDecoder((8, 6), hidden_sizes=(8,), **kwargs),
            implicit_differentiation=True,
            **kwargs,
        ),
        IMAGES,
        {
            "call_arguments": INITIAL,
            "output_shape": RECONSTRUCTION,
            "num_trainable": 12 + 18 + 5,
            "num_non_trainable": RANDOM_STATES,
        },
    ),
    "unet": (
        sa.UNet,
        lambda **kwargs: sa.UNet(filters=(4, 6), hidden_size=8, **kwargs),
        IMAGES,
        {"output_shape": (8, 6, 1), "num_trainable": 2 * 6 + 6 + 2},
    ),
    "component_vae": (
        sa.ComponentVAE,
        lambda **kwargs: sa.ComponentVAE(
            (8, 6), 2, 5, (4, 6), 8, decoder_filters=(6, 4), seed=1, **kwargs
        ),
        IMAGES,
        {
            "call_arguments": {"noise": INITIAL["initial_slots"][:, 0, :5]},
            "output_shape": [(8, 6, 2), (5,), (5,), (5,)],
            "num_trainable": 4 + 4 + 6,
            "num_non_trainable": 1,
        },
    ),
    "monet": (
        sa.MONet,
        lambda **kwargs: sa.MONet(
            (8, 6),
            3,
            latent_size=8,
            attention_filters=(4, 6),
            encoder_filters=(4, 6),
            decoder_filters=(6, 4),
            seed=1,
            **kwargs,
        ),
        IMAGES,
        {
            "call_arguments": {"noise": INITIAL["initial_slots"]},
            "output_shape": RECONSTRUCTION,
            "num_trainable": 20 + 14,
            "num_non_trainable": 1,
        },
    ),
    "classifier": (
        sa.SlotAttentionClassifier,
        small_classifier,
        IMAGES,
        {
            "call_arguments": INITIAL,
            "output_shape": (3, 19),
            "num_trainable": 12 + 18 + 4,
            "num_non_trainable": RANDOM_STATES,
        },
    ),
    "fspool": (
        sa.FSPool,
        lambda **kwargs: sa.FSPool(4, **kwargs),
        (10, 5),
        {"output_shape": (5,), "num_trainable": 1},
    ),
    "set_encoder": (
        sa.SetEncoder,
        lambda **kwargs: sa.SetEncoder(8, 6, **kwargs),
        (10, 5),
        {"output_shape": (6,), "num_trainable": 5},
    ),
    "dspn": (
        sa.DSPN,
        small_dspn,
        IMAGES,
        {"output_shape": (3, 19), "num_trainable": 12 + 2 + 5 + 1},
    ),
    "implicit_dspn": (
        sa.DSPN,
        lambda **kwargs: small_dspn(differentiation="implicit", **kwargs),
        IMAGES,
        {
            "call_arguments": {"noise": NOISE},
            "output_shape": (3, 19),
            "num_trainable": 12 + 2 + 5,
            "num_non_trainable": 1,
        },
    ),
    "iodine": (
        sa.IODINE,
        lambda **kwargs: sa.IODINE(
            (8, 6),
            3,
            2,
            slot_size=8,
            decoder_filters=(4,),
            encoder_filters=(4,),
            mlp_sizes=(8,),
            lstm_size=4,
            seed=1,
            **kwargs,
        ),
        IMAGES,
        {
            "call_arguments": {
                "noise": np.random.default_rng(1).normal(size=(4, 3, 3, 8))
            },
            "output_shape": RECONSTRUCTION,
            "num_trainable": 1 + 4 + 10 + 2 + 2 + 3 + 2,
            "num_non_trainable": 2,  # Of the samples, and of the LSTM, for dropout.
        },
    ),
}


SLOW = ("iodine", "monet")


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in CASES],
)
def test_saving(name, rng, tmp_path):
    _, make, shape, expected = CASES[name]
    inputs = rng.uniform(-1, 1, size=(4, *shape)).astype("float32")
    run_saving_checks(make, inputs, tmp_path, **expected)


def test_every_public_layer_and_model_is_checked():
    public = {
        value
        for module in (sa, layers, models)
        for value in (getattr(module, name) for name in module.__all__)
        if isinstance(value, type) and issubclass(value, keras.layers.Layer)
    }
    checked = {layer_class for layer_class, *_ in CASES.values()}
    assert len(public) >= 8 and checked == public


def test_a_new_process_needs_but_to_import_the_package(run_python, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((10, 5)),
            sa.SlotAttention(2, 3, 8, 16),
            sa.PixelMLPDecoder((4, 4)),
        ]
    )
    model.compile(loss=sa.HungarianHuberLoss())
    small_classifier().save(tmp_path / "classifier.keras")
    model.save(tmp_path / "sequential.keras")
    code = """
import keras
import slot_attention_tf
for name in ("sequential", "classifier"):
    print(type(keras.saving.load_model({folder!r} + f"/{{name}}.keras")).__name__)
"""
    output = run_python(code.format(folder=str(tmp_path)))
    assert output.split() == ["Sequential", "SlotAttentionClassifier"]
