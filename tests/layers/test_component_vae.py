"""The VAE of one slot: sizes, samples, and a decoder without copies."""

import keras
import numpy as np
import pytest

from slot_attention_tf.layers import ComponentVAE


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def small_vae(**kwargs):
    arguments = {
        "resolution": (7, 6),
        "latent_size": 3,
        "encoder_filters": (4, 5),
        "encoder_hidden_size": 8,
        "decoder_filters": (4, 5),
    }
    return ComponentVAE(**{**arguments, **kwargs})


def test_decoder_is_convolutions_over_copies(rng):
    vae = small_vae()
    vae.build((None, 7, 6, 4))
    for weight in vae.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    latents = rng.normal(size=(2, 3)).astype("float32")
    y, x = np.mgrid[-1 : 1 : 11 * 1j, -1 : 1 : 10 * 1j]  # Four rows and columns more.
    copies = np.zeros((2, 11, 10, 5), "float32")
    copies[..., :3] = latents[:, None, None]
    copies[..., 3], copies[..., 4] = y, x
    expected = copies
    for conv in vae.decoder_convs:
        expected = np.maximum(array(conv(expected)), 0)
    expected = array(vae.decoder_output(expected))
    decoded = array(vae.decode(latents))
    assert decoded.shape == (2, 7, 6, 4)
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-4)


def test_samples_follow_the_noise(rng):
    vae = small_vae()
    images = rng.normal(size=(2, 7, 6, 4)).astype("float32")
    noise = rng.normal(size=(2, 3)).astype("float32")
    decoded, latents, mean, log_variance = map(array, vae(images, noise=noise))
    np.testing.assert_allclose(
        latents, mean + np.exp(log_variance) ** 0.5 * noise, rtol=1e-6
    )
    np.testing.assert_allclose(decoded, array(vae.decode(latents)), atol=1e-6)
    np.testing.assert_array_equal(
        vae(images, noise=np.zeros((2, 3), "float32"))[1], mean
    )


def test_own_samples_have_the_posteriors_mean_and_variance(rng):
    vae = small_vae(seed=1)
    image = rng.normal(size=(1, 7, 6, 4))
    images = np.repeat(image, 4000, axis=0).astype("float32")
    _, latents, mean, log_variance = map(array, vae(images))
    variance = np.exp(log_variance[0])
    error = np.sqrt(variance / len(images))
    assert (np.abs(latents.mean(0) - mean[0]) < 4 * error).all()
    np.testing.assert_allclose(latents.var(0), variance, rtol=0.1)
    assert np.abs(array(vae(images)[1]) - latents).max() > 0


def test_number_of_weights_is_that_of_the_port():
    vae = ComponentVAE((64, 64))
    vae.build((None, 64, 64, 4))
    assert vae.count_params() == 336_480 + 33_092


def test_wrong_arguments():
    for name in ("output_channels", "latent_size", "encoder_hidden_size"):
        with pytest.raises(ValueError, match=f"Received: {name}=0"):
            small_vae(**{name: 0})
    for name in ("encoder_filters", "decoder_filters"):
        with pytest.raises(ValueError, match=rf"Received: {name}=\(\)"):
            small_vae(**{name: ()})
    with pytest.raises(
        ValueError, match=r"7, 6.*Received: inputs.shape=\(2, 8, 6, 4\)"
    ):
        small_vae()(np.zeros((2, 8, 6, 4), "float32"))
