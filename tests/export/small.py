"""Small models and what is expected of their exports."""

import keras
import numpy as np

import slot_attention_tf as sa

DECODERS = {
    "strided": lambda: sa.SpatialBroadcastDecoder(
        (8, 6), 3, (4, 3), filters=(4,), strides=2
    ),
    "full_size": lambda: sa.SpatialBroadcastDecoder(
        (8, 6), 3, (8, 6), filters=(4,), strides=1
    ),
    "pixel_mlp": lambda: sa.PixelMLPDecoder((8, 6), hidden_sizes=(8,)),
}


def autoencoder(decoder="pixel_mlp", **kwargs):
    encoder = sa.ConvEncoder((8, 6), filters=(4, 4), strides=(2, 1))
    arguments = {"encoder": encoder, "decoder": DECODERS[decoder](), "slot_size": 8}
    return sa.SlotAttentionAutoEncoder((8, 6), 3, 2, **{**arguments, **kwargs})


def classifier(**kwargs):
    encoder = sa.ConvEncoder((8, 6), filters=(4, 4), strides=(2, 1))
    return sa.SlotAttentionClassifier(
        (8, 6), 3, 2, encoder=encoder, slot_size=8, **kwargs
    )


def slot_mlp(encoder=sa.ConvEncoder):
    return sa.SlotAttentionAutoEncoder(
        (8, 6),
        encoder=encoder((8, 6), filters=(4,)),
        decoder=DECODERS["pixel_mlp"](),
        slot_attention=sa.SlotMLP(3, 8, (8, 6), (4, 4), (8,)),
    )


BASELINES = {
    "slot_mlp": slot_mlp,
    "monet": lambda: sa.MONet(
        (8, 6),
        3,
        latent_size=4,
        attention_filters=(4, 4),
        encoder_filters=(4,),
        decoder_filters=(4,),
    ),
    "iodine": lambda: sa.IODINE(
        (8, 6),
        3,
        1,
        slot_size=4,
        decoder_filters=(4,),
        encoder_filters=(4,),
        mlp_sizes=(8,),
    ),
    "dspn": lambda: sa.DSPN(
        (8, 6),
        3,
        num_iterations=2,
        latent_size=8,
        set_encoder_size=8,
        encoder=sa.ConvEncoder((8, 6), filters=(4,)),
    ),
}


def images_and_slots(rng, batch_size=4, num_slots=5):
    images = rng.uniform(-1, 1, size=(batch_size, 8, 6, 3)).astype("float32")
    slots = rng.normal(size=(batch_size, num_slots, 8)).astype("float32")
    return images, slots


def expected_outputs(outputs):
    reconstruction, slot_images, masks, slots, attention = map(np.asarray, outputs)
    return {
        "reconstruction": reconstruction,
        "slot_images": slot_images,
        "masks": masks,
        "segmentation": masks[..., 0].argmax(axis=1),
        "slots": slots,
        "attention": attention,
    }


def assert_same(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5, err_msg=name)


class UnsupportedEncoder(sa.ConvEncoder):
    """Computes the inverse of the error function, which other formats do not have."""

    def call(self, images):
        return keras.ops.erfinv(0.1 * super().call(images))


# Name: a model that is neither an ONNX nor a LiteRT file, and the error.
REFUSED = {
    "iodine": (BASELINES["iodine"], "no gradients.*IODINE and DSPN"),
    "dspn": (BASELINES["dspn"], "no gradients.*IODINE and DSPN"),
    "half_precision": (
        lambda: autoencoder(dtype="mixed_float16"),
        "dtype='float32'.*Received: a model that computes in float16",
    ),
    "unsupported": (
        lambda: slot_mlp(UnsupportedEncoder),
        "nothing was written.*tf_saved_model.*Received: .*(?i:erfinv)",
    ),
}
