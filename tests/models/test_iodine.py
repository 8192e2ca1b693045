"""IODINE: its sizes, likelihood, gradients and inputs, and that it learns."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import logistic

import slot_attention_tf as sa
from slot_attention_tf.data.generators.tetrominoes import COLORS
from slot_attention_tf.models import iodine_elbo
from slot_attention_tf.models.iodine_networks import coordinate_channels

SMALL = {
    "slot_size": 4,
    "decoder_filters": (5,),
    "decoder_kernel_size": 3,
    "encoder_filters": (6, 5),
    "encoder_kernel_size": 3,
    "mlp_sizes": (7, 6),
}


def small_model(num_iterations=2, lstm_size=3, **kwargs):
    """A model whose weights, biases and scales included, are all random."""
    model = sa.IODINE((8, 6), 3, num_iterations, lstm_size=lstm_size, **SMALL, **kwargs)
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.1))
    return model


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, size=(4, 8, 6, 3)).astype("float32")


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


@pytest.fixture
def noise(rng):
    return normal(rng, 4, 3, 3, 4)  # [B, T + 1, K, D]


def assert_same_outputs(actual, expected, **tolerance):
    for each, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(each, want, **tolerance)


@pytest.mark.parametrize(
    "name, expected",
    [("tetrominoes", 199_568), ("multi_dsprites", 339_152), ("clevr6", 1_177_168)],
)
def test_number_of_parameters(name, expected):
    """Those of the release, without its regression of the true factors."""
    model = sa.IODINE.from_preset(name, load_weights=False)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == expected


def test_outputs_are_a_mixture_of_slots(images, noise):
    recon_combined, recons, masks, slots = small_model()(images, noise=noise)
    assert recon_combined.shape == (4, 8, 6, 3)
    assert recons.shape == (4, 3, 8, 6, 3)
    assert masks.shape == (4, 3, 8, 6, 1)
    assert slots.shape == (4, 3, 4)
    np.testing.assert_allclose(np.sum(masks, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(
        recon_combined, np.sum(np.array(recons) * masks, axis=1), atol=1e-5
    )


def test_named_outputs(images, noise):
    model = small_model()
    outputs = model.named_outputs(images, noise=noise)
    _, _, masks, slots = model(images, noise=noise)
    np.testing.assert_array_equal(
        outputs["segmentation"], np.argmax(masks, axis=1)[..., 0]
    )
    np.testing.assert_array_equal(outputs["slots"], slots)


def test_slots_and_iterations_of_a_call(images, rng):
    model = small_model()
    assert model.noise_shape() == (3, 3, 4)
    assert model.noise_shape(num_slots=5, num_iterations=4) == (5, 5, 4)
    assert model(images, num_slots=5, num_iterations=4)[2].shape[1] == 5
    noise = normal(rng, 4, 5, 5, 4)
    expected = model(images, num_slots=5, num_iterations=4, noise=noise)
    assert expected[3].shape == (4, 5, 4)
    assert_same_outputs(model(images, noise=noise), expected)
    # The last decoding has noise of its own.
    noise[:, -1] += 1
    assert np.abs(model(images, noise=noise)[3] - expected[3]).max() > 0.1


def test_an_image_does_not_depend_on_its_batch(images, noise):
    model = small_model()
    together = model(images, noise=noise)
    for index in range(4):
        alone = model(images[index : index + 1], noise=noise[index : index + 1])
        expected = [output[index : index + 1] for output in together]
        assert_same_outputs(alone, expected, rtol=1e-4, atol=1e-4)


def test_permuted_noise_permutes_the_outputs(images, noise):
    model = small_model()
    order = [2, 0, 1]
    combined, *outputs = model(images, noise=noise)
    same, *permuted = model(images, noise=noise[:, :, order])
    np.testing.assert_allclose(same, combined, rtol=1e-4, atol=1e-4)
    expected = [np.take(output, order, axis=1) for output in outputs]
    assert_same_outputs(permuted, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(outputs[2][:, 0] - outputs[2][:, 1]).max() > 0.1


def test_divergence_from_the_prior(rng):
    """Zero for parameters of zero; else as a mean over samples has it."""
    zero = iodine_elbo.split_posterior(np.zeros((2, 8), "float32"))
    np.testing.assert_allclose(zero[1], np.log(2), rtol=1e-6)
    np.testing.assert_allclose(iodine_elbo.kl_to_prior(*zero), np.zeros(2), atol=1e-6)

    mean, variance = np.array([[0.5, -1.0]]), np.array([[0.2, 1.5]])
    z = mean + np.sqrt(variance) * rng.normal(size=(400_000, 2))

    def log_normal(z, mean, variance):
        return -0.5 * ((z - mean) ** 2 / variance + np.log(2 * np.pi * variance))

    difference = log_normal(z, mean, variance) - log_normal(z, 0.0, np.log(2))
    expected = difference.sum(axis=-1)
    actual = iodine_elbo.kl_to_prior(*(x.astype("float32") for x in (mean, variance)))
    assert float(actual[0]) == pytest.approx(expected.mean(), abs=0.02)


def negative_elbo(model, images, posterior, noise):
    """In NumPy and float64, but for the decoder; `[B]`."""
    mean, raw = np.split(posterior.astype("float64"), 2, axis=-1)
    variance = np.log1p(np.exp(raw))
    z = mean + np.sqrt(variance) * noise
    means, logits = (np.array(x, "float64") for x in model.decoder(z.astype("float32")))
    x = (images[:, None].astype("float64") + 1) / 2
    probs = np.prod(logistic.pdf(x, loc=means, scale=0.03), axis=-1)
    weights = softmax(logits[..., 0], axis=1)
    log_likelihood = np.log(np.sum(weights * probs, axis=1)).sum(axis=(1, 2))
    prior = np.log(2)
    kl = 0.5 * (variance / prior + mean**2 / prior - 1 - np.log(variance / prior))
    return kl.sum(axis=(1, 2)) - log_likelihood


def test_loss_of_the_first_posterior(images, noise):
    model = small_model()
    losses, _ = model._infer(images, noise=noise)
    posterior = np.tile(np.array(model.initial_posterior), (4, 3, 1))
    expected = negative_elbo(model, images, posterior, noise[:, 0])
    np.testing.assert_allclose(losses[0], expected, rtol=1e-4)


def test_loss_weights_rise_from_zero_to_one(images):
    model = small_model(num_iterations=4, seed=5)

    def at_start(function):
        model.seed_generator.state.assign([5, 0])
        return function()

    losses, _ = at_start(lambda: model._infer(images))
    total = at_start(lambda: model.loss_per_example({"image": images}))
    assert total.shape == (4,) and len(losses) == 5
    weights = [0, 0.25, 0.5, 0.75, 1]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True))
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def looked(model, images, noise):
    """What the refinement network sees at the first step."""
    posterior = tf.tile(model.initial_posterior[None, None], (len(images), 3, 1))
    return iodine_elbo.look(
        model.decoder, (images + 1) / 2, posterior, noise[:, 0], model.pixel_scale
    )


def test_gradients_have_the_closed_form(images, noise):
    """Of the masks `pi_k - gamma_k`, with the responsibilities `gamma`."""
    model = small_model()
    _, spatial, _ = looked(model, images, noise)
    x = (images[:, None].astype("float64") + 1) / 2
    means = np.array(spatial["components"], "float64")
    log_probs = logistic.logpdf(x, loc=means, scale=0.03).sum(-1, keepdims=True)
    pi = softmax(np.array(spatial["mask"], "float64"), axis=1)
    gamma = softmax(np.log(pi) + log_probs, axis=1)
    slope = np.tanh((x - means) / 0.06) / 0.03  # Of a log density by its mean.
    np.testing.assert_allclose(spatial["dmask"], pi - gamma, atol=1e-3)
    np.testing.assert_allclose(spatial["dcomponents"], -gamma * slope, atol=2e-2)
    assert np.abs(spatial["dmask"]).max() > 0.1


def test_gradient_of_the_posterior(images, noise):
    """Against finite differences of the NumPy loss along random directions."""
    model = small_model()
    _, _, flat = looked(model, images, noise)
    gradient = np.array(flat["dlambda"], "float64")
    posterior = np.array(flat["lambda"])
    rng = np.random.default_rng(3)
    for _ in range(3):
        direction = rng.normal(size=posterior.shape)
        step = 1e-3
        above, below = (
            negative_elbo(model, images, posterior + sign * direction, noise[:, 0])
            for sign in (step, -step)
        )
        expected = (above - below) / (2 * step)
        actual = np.sum(gradient * direction, axis=(1, 2))
        np.testing.assert_allclose(actual, expected, rtol=0.02, atol=1.0)


def test_gradients_are_constants_to_training(images, noise):
    """So are the log likelihood and the counterfactual."""
    model = small_model()
    stopped = ("dcomponents", "dmask", "log_prob", "counterfactual")
    with tf.GradientTape(persistent=True) as tape:
        _, spatial, flat = looked(model, images, noise)
    weight = model.decoder.output_conv.kernel
    for name, x in {**spatial, **flat}.items():
        constant = name in (*stopped, "dlambda", "image", "lambda")
        assert (tape.gradient(x, weight) is None) == constant, name


def test_refinement_inputs(images, noise):
    """Their order, number and normalisation."""
    model = small_model()
    network = model.refinement
    for norm in network.norms.values():
        norm.gamma.assign(np.ones(norm.gamma.shape))
        norm.beta.assign(np.zeros(norm.beta.shape))
    first, dense = network.convs[0], network.mlp[-1]
    _, spatial, flat = looked(model, images, noise)
    seen = np.array(network._spatial_inputs(spatial, 3))
    assert seen.shape == (12, 8, 6, 24) and first.kernel.shape[2] == 24
    sizes = {
        "capacity": 1,
        "components": 3,
        "coordinates": 8,
        "counterfactual": 1,
        "dcomponents": 3,
        "dmask": 1,
        "image": 3,
        "log_prob": 1,
        "mask": 1,
        "posterior": 1,
        "pred_mask": 1,
    }
    parts = np.split(seen, np.cumsum([*sizes.values()])[:-1], axis=-1)
    maps = dict(zip(sizes, parts, strict=True))
    assert (maps["capacity"] == 0.5).all()
    np.testing.assert_allclose(maps["image"][3], (images[1] + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(
        maps["coordinates"][5], coordinate_channels("cosine", (8, 6)), atol=1e-6
    )
    for name in ("counterfactual", "dcomponents", "dmask", "log_prob"):
        x = maps[name].astype("float64")
        np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(x.var(axis=(1, 2, 3)), 1, atol=1e-2)
    for name in ("components", "mask"):
        np.testing.assert_array_equal(
            maps[name], np.reshape(spatial[name], maps[name].shape)
        )
    probs = np.exp(spatial["mask"]) / np.exp(spatial["mask"]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        maps["pred_mask"], probs.reshape(maps["mask"].shape), atol=1e-5
    )
    x = (images[:, None].astype("float64") + 1) / 2
    density = logistic.pdf(x, loc=spatial["components"], scale=0.03)
    density = np.prod(density, axis=-1, keepdims=True)
    posterior = density / (density.sum(axis=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(
        maps["posterior"], posterior.reshape(maps["mask"].shape), atol=1e-4
    )
    vectors = np.array(network._flat_inputs(flat))
    assert vectors.shape == (12, 8 + 1 + 8)
    assert dense.units + 17 == network.lstm.kernel.shape[0]
    np.testing.assert_allclose(vectors[:, :8].mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(vectors[:, :8].var(axis=1), 1, atol=1e-3)
    assert (vectors[:, 8] == 0.5).all()
    np.testing.assert_array_equal(vectors[:, 9:], np.reshape(flat["lambda"], (12, 8)))


def test_coordinates():
    columns, rows = np.moveaxis(coordinate_channels("linear", (3, 2)), -1, 0)
    np.testing.assert_allclose(rows, [[-1, -1], [0, 0], [1, 1]])
    np.testing.assert_allclose(columns, [[-1, 1]] * 3)
    cosine = coordinate_channels("cosine", (3, 5))
    assert cosine.shape == (3, 5, 8)
    y, x = 2 / 2, 1 / 4  # Row 2 of 3, column 1 of 5.
    expected = [np.cos(np.pi * y), np.cos(2 * np.pi * y), np.cos(np.pi * x)]
    np.testing.assert_allclose(cosine[2, 1, :3], expected, atol=1e-6)


@pytest.mark.slow
def test_fit_lowers_the_loss(images):
    model = small_model(lstm_size=None, seed=2)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    before = model.evaluate(images, verbose=0)
    model.fit(images, epochs=20, verbose=0)
    assert model.evaluate(images, verbose=0) < 0.8 * before
    assert model.predict(images, verbose=0)[0].shape == (4, 8, 6, 3)


def test_saved_model_of_any_batch_size(images, noise, tmp_path):
    """What TensorFlow loads without this package computes its gradients, too."""
    model = small_model()
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    specs = [tf.TensorSpec((None, *x.shape[1:])) for x in (images, noise)]
    module.serve = tf.function(
        lambda images, noise: model(images, noise=noise), input_signature=specs
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch in (1, 4):
        assert_same_outputs(
            loaded.serve(images[:batch], noise[:batch]),
            model(images[:batch], noise=noise[:batch]),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy, images, noise):
    """Outputs and losses are float32; gradients may be larger than float16 can be."""
    model = small_model(pixel_scale=1e-4, dtype=policy)
    assert {output.dtype for output in model(images, noise=noise)} == {tf.float32}
    _, spatial, flat = looked(model, images, noise)
    assert np.isfinite(flat["dlambda"]).all() and np.isfinite(spatial["dmask"]).all()
    assert np.abs(flat["dlambda"]).max() > np.finfo("float16").max
    loss = tf.reduce_mean(model.loss_per_example({"image": images}))
    assert loss.dtype == tf.float32 and np.isfinite(loss)


def test_every_weight_gets_a_gradient(images):
    model = small_model()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_per_example({"image": images}))
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("name", sorted(sa.IODINE.presets))
def test_presets(name):
    preset = sa.IODINE.presets[name]
    assert preset.clip_norm == 5.0
    assert preset.decay_rate ** (1 / preset.decay_steps) == 0.1**1e-6
    assert preset.warmup_steps == 0
    optimizer = preset.make_optimizer(preset.learning_rate)
    assert (optimizer.beta_1, optimizer.beta_2) == (0.95, 0.999)
    assert optimizer.epsilon == 1e-8
    model = sa.IODINE.from_preset(name, load_weights=False, seed=3)
    assert (model.num_slots, model.resolution) == (preset.num_slots, preset.resolution)
    assert model.seed == 3


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_slots": 1}, "at least 2: .* Received: num_slots=1"),
        ({"num_slots": 2.5}, "Received: num_slots=2.5"),
        ({"num_iterations": 0}, "Received: num_iterations=0"),
        ({"slot_size": 0}, "Received: slot_size=0"),
        ({"lstm_size": 0}, "Received: lstm_size=0"),
        ({"mlp_sizes": ()}, "Received: mlp_sizes="),
        ({"decoder_filters": ()}, "Received: decoder_filters="),
        ({"encoder_kernel_size": (3,)}, "Received: encoder_kernel_size="),
        ({"coordinates": "polar"}, "one of linear, cosine. Received: coordinates="),
        ({"pixel_scale": 0.0}, "Received: pixel_scale=0.0"),
        ({"resolution": 8}, "Received: resolution=8"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        sa.IODINE(**{"resolution": (8, 6), "num_slots": 3, **SMALL, **arguments})


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((2, 8, 5, 3), {}, r"Received: images.shape=\(2, 8, 5, 3\)"),
        ((0, 8, 6, 3), {}, "at least one image"),
        ((2, 8, 6, 3), {"num_slots": 1}, "Received: num_slots=1"),
        ((2, 8, 6, 3), {"num_iterations": 0}, "Received: num_iterations=0"),
        ((2, 8, 6, 3), {"noise": np.zeros((2, 3, 4))}, "Received: noise.shape="),
        ((2, 8, 6, 3), {"noise": np.zeros((2, 1, 3, 4))}, "Received: noise.shape="),
        ((2, 8, 6, 3), {"noise": np.zeros((2, 3, 3, 5))}, "slot_size=4"),
        (
            (2, 8, 6, 3),
            {"noise": np.zeros((2, 3, 3, 4)), "num_slots": 4},
            "contradicts `noise`",
        ),
    ],
)
def test_bad_calls(shape, options, message):
    with pytest.raises(ValueError, match=message):
        small_model()(np.zeros(shape, "float32"), **options)


def two_pieces(count, rng, side=20, size=7):
    """Images of two squares on black that do not touch, and what is where."""
    images = np.zeros((count, side, side, 3), "float32")
    labels = np.zeros((count, side, side), "int32")
    for image, label in zip(images, labels, strict=True):
        corners = np.zeros((2, 2), int)
        while np.abs(corners[0] - corners[1]).max() < size:
            corners = rng.integers(side - size + 1, size=(2, 2))
        colors = rng.permutation(len(COLORS))[:2]
        for piece, (color, (y, x)) in enumerate(zip(colors, corners, strict=True)):
            image[y : y + size, x : x + size] = COLORS[color] / 255
            label[y : y + size, x : x + size] = piece + 1
    return 2 * images - 1, labels


@pytest.mark.slow
def test_learns_to_find_two_pieces():
    """Reconstructs and segments as nothing does that ignores the image.

    A wide distribution of pixels and a decoder of every pixel alone learn in minutes.
    """
    rng = np.random.default_rng(0)
    images, _ = two_pieces(640 * 16, rng)
    test_images, labels = two_pieces(128, rng)
    model = sa.IODINE(
        (20, 20),
        num_slots=3,
        num_iterations=2,
        slot_size=16,
        decoder_filters=(32, 32, 32),
        decoder_kernel_size=1,
        encoder_filters=(16, 16, 16),
        encoder_kernel_size=3,
        mlp_sizes=(64,),
        pixel_scale=0.3,
        seed=0,
    )
    noise = normal(rng, 128, *model.noise_shape())

    def scores():
        recon_combined, _, masks, _ = model(test_images, noise=noise)
        segmentation = np.argmax(masks, axis=1)[..., 0]
        return (
            np.mean((recon_combined - test_images) ** 2),
            np.mean(sa.adjusted_rand_index(labels, segmentation)),
        )

    error_of_mean = np.mean((test_images - images.mean(axis=0)) ** 2)
    untrained_error, untrained_ari = scores()
    assert untrained_error > error_of_mean and untrained_ari < 0.2

    optimizer = keras.optimizers.Adam(5e-3, beta_1=0.95, global_clipnorm=5.0)
    model.compile(optimizer, jit_compile=False)
    model.fit(images, batch_size=16, verbose=0)
    error, ari = scores()
    assert error < 0.7 * error_of_mean
    assert ari > 0.5


OTHER_BACKEND = """
import keras, numpy as np
import slot_attention_tf
folder = {folder!r}
model = keras.saving.load_model(folder + "/model.keras")
with np.load(folder + "/inputs.npz") as data:
    images, noise = data["images"], data["noise"]
outputs = [keras.ops.convert_to_numpy(x) for x in model(images, noise=noise)]
model.compile(keras.optimizers.SGD(1e-3, global_clipnorm=5.0))
assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()
assert model.predict(images, verbose=0)[2].shape == (4, 3, 8, 6, 1)
symbolic = model(keras.Input((8, 6, 3)))
assert [tuple(x.shape) for x in symbolic][2] == (None, 3, 8, 6, 1)
np.savez(folder + "/outputs.npz", *outputs)
print(keras.backend.backend())
"""


# JAX compiles every operation of every shape.
@pytest.mark.parametrize(
    "backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"]
)
def test_other_backends(backend, images, noise, run_python, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    model = small_model()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", images=images, noise=noise)
    code = OTHER_BACKEND.format(folder=str(tmp_path))
    assert run_python(code, KERAS_BACKEND=backend).strip() == backend
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert_same_outputs(
            outputs.values(), model(images, noise=noise), rtol=1e-3, atol=1e-3
        )
