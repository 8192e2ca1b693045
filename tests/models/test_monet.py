"""MONet: sizes, masks, the loss against an oracle, call-time options, learning."""

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from slot_attention_tf.models.monet import LOWEST_LOG_MASK, PRESETS, MONet


def tiny_model(**kwargs):
    arguments = {
        "resolution": (8, 6),
        "num_slots": 3,
        "latent_size": 5,
        "attention_filters": (4, 6),
        "encoder_filters": (4, 6),
        "decoder_filters": (6, 4),
        "background_sigma": 0.2,
        "foreground_sigma": 0.3,
        "beta": 0.7,
        "gamma": 0.4,
        "seed": 1,
    }
    return MONet(**{**arguments, **kwargs})


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, size=(4, 8, 6, 3)).astype("float32")


@pytest.fixture
def noise(rng):
    return rng.normal(size=(4, 3, 5)).astype("float32")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def arrays(tensors):
    return [array(tensor) for tensor in tensors]


@pytest.mark.parametrize(
    ("resolution", "count"),
    [
        ((64, 64), 974_085),
        ((128, 128), 1_788_293),
        ((32, 32), 749_701),
        # As at 32x32, but padded to 40x40: the MLP of the U-Net and the hidden layer of
        # the encoder see 5x5 and 3x3 positions in place of 4x4 and 2x2.
        ((35, 35), 749_701 + (2 * 128 + 1) * 9 * 64 + 256 * 5 * 64),
    ],
)
def test_number_of_weights_is_that_of_the_ports(resolution, count):
    assert MONet(resolution, num_slots=4).count_params() == count


def test_outputs_are_a_mixture_of_slots(images):
    recon_combined, recons, masks, slots = arrays(tiny_model()(images))
    assert recon_combined.shape == (4, 8, 6, 3)
    assert recons.shape == (4, 3, 8, 6, 3)
    assert masks.shape == (4, 3, 8, 6, 1)
    assert slots.shape == (4, 3, 5)
    assert np.abs(recons).max() <= 1
    assert masks.min() > 0
    np.testing.assert_allclose(masks.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(recon_combined, (recons * masks).sum(axis=1), atol=1e-6)


def test_each_slot_takes_a_share_of_what_is_left(images):
    """The recursion in probabilities, from the U-Net alone."""
    model = tiny_model()
    scope = np.ones((4, 8, 6, 1))
    expected = []
    for _ in range(2):
        inputs = np.concatenate([(images + 1) / 2, np.log(scope)], axis=-1)
        share = 1 / (1 + np.exp(-array(model.attention(inputs.astype("float32")))))
        expected.append(scope * share)
        scope = scope * (1 - share)
    masks = array(model(images)[2])
    np.testing.assert_allclose(masks, np.stack([*expected, scope], axis=1), atol=1e-5)


@pytest.mark.parametrize("num_slots", [1, 2, 5])
def test_another_number_of_slots_splits_what_was_left(images, num_slots):
    model = tiny_model()
    _, recons, masks, slots = arrays(model(images, num_slots=num_slots))
    assert recons.shape == (4, num_slots, 8, 6, 3)
    assert slots.shape == (4, num_slots, 5)
    np.testing.assert_allclose(masks.sum(axis=1), 1.0, atol=1e-6)
    shared = min(num_slots, 3) - 1
    expected = array(model(images)[2])
    np.testing.assert_allclose(masks[:, :shared], expected[:, :shared], atol=1e-6)
    assert model.noise_shape(num_slots=num_slots) == (num_slots, 5)


def test_noise_of_a_slot_changes_that_slot_alone(images, noise):
    model = tiny_model()
    before = arrays(model(images, noise=noise))
    other = noise.copy()
    other[:, 1] += 1
    after = arrays(model(images, noise=other))
    for output, want in zip(after[1:], before[1:], strict=True):
        np.testing.assert_allclose(output[:, [0, 2]], want[:, [0, 2]], atol=1e-6)
    np.testing.assert_array_equal(after[2], before[2])
    for index in (1, 3):
        assert np.abs(after[index][:, 1] - before[index][:, 1]).max() > 1e-4


def test_slots_share_one_autoencoder(images, noise):
    """A slot's image depends on its mask and noise, not on its place."""
    model = tiny_model()
    _, recons, masks, slots = arrays(model(images, noise=noise))
    for k in (0, 2):
        inputs = np.concatenate([(images + 1) / 2, np.log(masks[:, k])], axis=-1)
        decoded, latents, *_ = arrays(model.component_vae(inputs, noise=noise[:, k]))
        np.testing.assert_allclose(slots[:, k], latents, atol=1e-5)
        colors = 1 / (1 + np.exp(-decoded[..., :3]))
        np.testing.assert_allclose((recons[:, k] + 1) / 2, colors, atol=1e-5)


def log_sum_exp(x, axis):
    largest = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis=axis)) + np.squeeze(largest, axis)


def oracle_loss(images, parts, sigmas, beta, gamma):
    """MONet's loss in double precision, image by image."""
    losses = []
    for i, image in enumerate((images.astype("float64") + 1) / 2):
        log_masks, recons, logits, _, mean, log_variance = (
            array(part)[i].astype("float64") for part in parts
        )
        log_joint = np.stack(
            [
                log_masks[k]
                - (image - recons[k]) ** 2 / (2 * sigma**2)
                - np.log(sigma * np.sqrt(2 * np.pi))
                for k, sigma in enumerate(sigmas)
            ]
        )
        likelihood = log_sum_exp(log_joint, axis=0).sum()
        latents = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / 2
        masks = np.maximum(np.exp(log_masks), 1e-5)
        decoded = np.exp(logits - log_sum_exp(logits, axis=0)[None])
        decoded = np.maximum(decoded, 1e-5)
        divergence = (masks * np.log(masks / decoded)).sum()
        losses.append(-likelihood + beta * latents + gamma * divergence)
    return losses


def test_loss_is_that_of_the_oracle(images, noise, rng):
    model = tiny_model()
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.3))
    parts = model.decompose(images, noise=noise)
    terms = model.loss_terms(images, noise=noise)
    expected = oracle_loss(images, parts, (0.2, 0.3, 0.3), beta=0.7, gamma=0.4)
    loss = terms["reconstruction"] + 0.7 * terms["latents"] + 0.4 * terms["masks"]
    np.testing.assert_allclose(array(loss), expected, rtol=1e-4)
    # No term is small enough to hide in the sum.
    for term in terms.values():
        assert np.abs(array(term)).min() > 0.01 * np.abs(expected).max()


def test_loss_per_example_weighs_the_terms(images):
    first, second = tiny_model(), tiny_model()  # The same seed, so the same samples.
    second.set_weights(first.get_weights())
    terms = first.loss_terms(images)
    losses = array(second.loss_per_example({"image": images}))
    expected = terms["reconstruction"] + 0.7 * terms["latents"] + 0.4 * terms["masks"]
    assert losses.shape == (4,) and losses.dtype == np.float32
    np.testing.assert_allclose(losses, array(expected), rtol=1e-5)


def test_an_image_and_its_loss_do_not_depend_on_the_batch(images, noise):
    model = tiny_model()
    outputs = arrays(model(images, noise=noise))
    terms = model.loss_terms(images, noise=noise)
    for i in range(4):
        part = slice(i, i + 1)
        alone = arrays(model(images[part], noise=noise[part]))
        for output, want in zip(alone, outputs, strict=True):
            np.testing.assert_allclose(output, want[part], atol=1e-5)
        for name, term in model.loss_terms(images[part], noise=noise[part]).items():
            np.testing.assert_allclose(term, terms[name][part], rtol=1e-4)


def test_evaluate_gives_the_mean_of_the_loss(images):
    model = tiny_model()
    bias = model.component_vae.encoder_output.bias
    bias.assign([0] * 5 + [-20] * 5)  # Samples are the mean: no noise in the loss.
    model.compile()
    losses = array(model.loss_per_example({"image": images}))
    loss = model.evaluate(images, batch_size=4, verbose=0)
    assert loss == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.slow
def test_fit_lowers_the_loss(images):
    model = tiny_model()
    model.compile(keras.optimizers.RMSprop(1e-3))
    before = model.evaluate(images, verbose=0)
    model.fit(images, epochs=20, verbose=0)
    assert model.evaluate(images, verbose=0) < 0.8 * before


def test_named_outputs_segment_by_the_attention_masks(images):
    outputs = tiny_model().named_outputs(images, num_slots=4)
    assert set(outputs) == {
        *("reconstruction", "slot_images", "masks", "segmentation", "slots")
    }
    segmentation = array(outputs["segmentation"])
    assert segmentation.shape == (4, 8, 6) and segmentation.dtype == np.int32
    np.testing.assert_array_equal(
        segmentation, array(outputs["masks"])[..., 0].argmax(axis=1)
    )


@pytest.mark.slow
def test_half_precision_bears_sure_masks(images):
    """Logits of thousands, and so log masks that no half float could hold."""
    keras.config.set_dtype_policy("mixed_float16")
    model = tiny_model()
    kernel, _ = model.attention.output_conv.weights
    kernel.assign(4e3 * kernel)
    outputs = arrays(model(images))
    log_masks = array(model.decompose(images).log_masks)
    assert log_masks.min() < 10 * LOWEST_LOG_MASK
    assert all(np.isfinite(output).all() for output in outputs)
    losses = array(model.loss_per_example({"image": images}))
    assert losses.dtype == np.float32 and np.isfinite(losses).all()
    sgd = keras.optimizers.SGD(1e-9)
    model.compile(keras.optimizers.LossScaleOptimizer(sgd, initial_scale=1.0))
    model.fit(images, verbose=0)
    # It is halved where a gradient is not finite.
    assert float(model.optimizer.dynamic_scale) == 1.0


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    preset = PRESETS[name]
    model = MONet.from_preset(name, load_weights=False, num_slots=9, beta=2.0)
    assert (model.resolution, model.num_slots) == (preset.resolution, 9)
    assert (model.beta, model.foreground_sigma) == (2.0, preset.foreground_sigma)
    default = MONet(preset.resolution, 9)
    same_size = model.count_params() == default.count_params()
    assert same_size is not name.endswith("_cpu")


def test_optimizer_is_that_of_the_ports():
    """PyTorch's rule in NumPy, with gradients about as small as its epsilon."""
    gradients = np.array([1e-8, 1e-6, 1.0], "float32")
    variable = keras.Variable(np.zeros(3, "float32"))
    optimizer = PRESETS["clevr6"].make_optimizer(1e-4)
    expected, velocity = 0.0, 0.0
    for _ in range(3):
        optimizer.apply([keras.ops.convert_to_tensor(gradients)], [variable])
        velocity = 0.99 * velocity + 0.01 * gradients.astype("float64") ** 2
        expected = expected - 1e-4 * gradients / (np.sqrt(velocity) + 1e-8)
    np.testing.assert_allclose(array(variable)[1:], expected[1:], rtol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_slots": 0}, "Received: num_slots=0"),
        ({"num_channels": 0}, "Received: num_channels=0"),
        ({"latent_size": 0}, "Received: latent_size=0"),
        ({"resolution": 8}, "Received: resolution=8"),
        ({"attention_filters": (4, 0)}, r"Received: filters=\(4, 0\)"),
        ({"decoder_filters": ()}, r"Received: decoder_filters=\(\)"),
        ({"background_sigma": 0.0}, "positive. Received: background_sigma=0.0"),
        ({"foreground_sigma": -1.0}, "positive. Received: foreground_sigma=-1.0"),
        ({"beta": -1.0}, "at least 0. Received: beta=-1.0"),
        ({"gamma": float("nan")}, "at least 0. Received: gamma=nan"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(**arguments)


def test_wrong_calls(images):
    model = tiny_model()
    with pytest.raises(ValueError, match=r"\(8, 6, 3\).*Received: images.shape"):
        model(images[..., :2])
    with pytest.raises(ValueError, match="Received: images.shape=.0, 8, 6, 3"):
        model(images[:0])
    with pytest.raises(ValueError, match="Received: num_slots=0"):
        model(images, num_slots=0)
    with pytest.raises(ValueError, match=r"batch, 4, 5.*noise.shape=\(4, 3, 5\)"):
        model(images, num_slots=4, noise=np.zeros((4, 3, 5), "float32"))
    with pytest.raises(ValueError, match="Received: loss='mse'"):
        model.compile(loss="mse")


# JAX compiles every operation of every shape.
@pytest.mark.slow
def test_same_numbers_on_jax(images, noise, run_python, tmp_path):
    pytest.importorskip("jax")
    model = tiny_model()
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", images=images, noise=noise)
    code = f"""
import keras, numpy as np
import slot_attention_tf
folder = {str(tmp_path)!r}
model = keras.saving.load_model(folder + "/model.keras")
inputs = np.load(folder + "/inputs.npz")
outputs = [*model(**inputs), *model.loss_terms(**inputs).values()]
np.savez(folder + "/outputs.npz", *outputs)
model.compile(keras.optimizers.SGD(1e-4))
assert np.isfinite(model.fit(inputs["images"], verbose=0).history["loss"]).all()
print(keras.backend.backend(), model(keras.Input((8, 6, 3)))[2].shape)
"""
    output = run_python(code, KERAS_BACKEND="jax")
    assert output.strip() == "jax (None, 3, 8, 6, 1)"
    expected = [
        *model(images, noise=noise),
        *model.loss_terms(images, noise=noise).values(),
    ]
    with np.load(tmp_path / "outputs.npz") as outputs:
        for want, name in zip(expected, outputs.files, strict=True):
            np.testing.assert_allclose(outputs[name], want, rtol=1e-4, atol=1e-5)


def scenes(rng, count):
    """A grey and a white square of 4x4 pixels on 12x12 black ones, and the labels."""
    labels = np.zeros((count, 12, 12), "int32")
    for label in labels:
        while np.count_nonzero(label) < 2 * 4 * 4:  # Redrawn where they overlap.
            label[:] = 0
            for k, (y, x) in enumerate(rng.integers(9, size=(2, 2)), 1):
                label[y : y + 4, x : x + 4] = k
    images = labels[..., None].astype("float32") - 1
    return images, labels


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fit_finds_two_squares(seed, rng):
    """They differ in brightness, and one latent variable holds just that."""
    keras.utils.set_random_seed(seed)
    images, _ = scenes(rng, 2048)
    test_images, labels = scenes(rng, 128)
    model = MONet(
        (12, 12),
        num_slots=3,
        num_channels=1,
        latent_size=1,
        attention_filters=(8, 16),
        encoder_filters=(8, 16),
        decoder_filters=(8,),
        background_sigma=0.07,
        foreground_sigma=0.07,
        gamma=0.02,
    )
    model.compile(keras.optimizers.Adam(3e-3))

    def scores():
        recon_combined, _, masks, _ = model.predict(test_images, verbose=0)
        found = masks[..., 0].argmax(axis=1)
        error = np.square(recon_combined - test_images).mean()
        return array(sa.adjusted_rand_index(labels, found)).mean(), error

    index, error = scores()
    assert index < 0.5
    mean_error = np.square(images.mean(axis=0) - test_images).mean()
    assert error > mean_error / 2
    model.fit(images, epochs=10, verbose=0)
    index, error = scores()
    assert index > 0.9
    assert error < mean_error / 10
