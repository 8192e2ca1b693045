"""DSPN and iDSPN: inner loops, their derivatives, and what they learn."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.models.registry import find_model
from slot_attention_tf.models.set_descent import describe_problem

RESOLUTION = (8, 6)
MODES = pytest.mark.parametrize("differentiation", ["unrolled", "implicit"])


def small_dspn(differentiation="unrolled", dtype=None, **kwargs):
    arguments = {
        "num_slots": 4,
        "num_iterations": 5,
        "latent_size": 16,
        "set_encoder_size": 12,
        "num_properties": 5,
        "encoder": sa.ConvEncoder(RESOLUTION, filters=(4,), strides=2, dtype=dtype),
        "seed": 0,
    }
    arguments |= {"differentiation": differentiation, "dtype": dtype, **kwargs}
    return sa.DSPN(RESOLUTION, **arguments)


def images(rng, batch_size=3):
    return rng.uniform(-1, 1, [batch_size, *RESOLUTION, 3]).astype("float32")


def start_of(differentiation, rng, batch_size=3, num_slots=4):
    """Call arguments that fix the start set."""
    if differentiation == "unrolled":
        return {}
    noise = rng.normal(size=(batch_size, num_slots, 5)).astype("float32")
    return {"noise": noise}


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def vector_of(model, batch):
    features = model.encoder(batch)
    return model.to_vector(tf.reshape(features, (len(batch), -1)))


def inner_gradient(model, sets, vector):
    """Of the inner loss of a batch, written out for each differentiation."""
    with tf.GradientTape() as tape:
        tape.watch(sets)
        errors = model.set_encoder(sets) - vector
        if model.differentiation == "implicit":
            losses = tf.square(errors) / 2
        else:
            size = tf.abs(errors)
            losses = tf.where(size < 1, tf.square(size) / 2, size - 0.5)
        loss = tf.reduce_sum(tf.reduce_mean(losses, axis=-1))
    return tape.gradient(loss, sets)


def descend(model, batch, start, learning_rate):
    """The inner loops of the two papers, one step at a time."""
    vector = vector_of(model, batch)
    sets = [tf.constant(start)]
    momentum = np.zeros_like(start)
    for _ in range(model.num_iterations):
        gradient = inner_gradient(model, sets[-1], vector).numpy()
        if model.differentiation == "unrolled":
            moved = sets[-1].numpy() - learning_rate * gradient
            moved[..., -1] = np.clip(moved[..., -1], 0, 1)
        else:
            for each in gradient:
                each *= min(1, 10 / np.linalg.norm(each))
            momentum = 0.9 * momentum + gradient
            moved = sets[-1].numpy() - learning_rate * (gradient + 0.9 * momentum)
        sets.append(tf.constant(moved))
    return sets


@MODES
# The larger rate of each differentiation clips existence, or gradients.
@pytest.mark.parametrize("factor", [1, 40])
def test_the_inner_loop_is_that_of_the_paper(differentiation, factor, rng):
    default = {"unrolled": 25.0, "implicit": 1.0}[differentiation]
    rate = default * factor
    model = small_dspn(
        differentiation, inner_learning_rate=None if factor == 1 else rate
    )
    if factor > 1 and differentiation == "implicit":
        model.set_encoder.pool.knots.assign(60 * model.set_encoder.pool.knots)
        rate = model.inner_learning_rate = 0.01
    batch, options = images(rng), start_of(differentiation, rng)
    start = 0.1 * options["noise"] if options else np.stack([model.start_set] * 3)
    sets = descend(model, batch, start, rate)
    if factor > 1:
        gradient = inner_gradient(model, sets[0], vector_of(model, batch))
        norms = np.linalg.norm(np.reshape(gradient, (3, -1)), axis=1)
        existence = np.stack(sets)[..., -1]
        clips = norms > 10 if options else np.isin(existence, [0, 1])
        assert clips.any()
    np.testing.assert_allclose(
        array(model(batch, **options)), np.clip(sets[-1], 0, 1), rtol=1e-4, atol=1e-5
    )


@MODES
def test_no_steps_return_the_start_set(differentiation, rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = small_dspn(differentiation, num_properties=19)
    predictions = array(model(images(rng), num_iterations=0))
    assert predictions.shape == (3, 4, 19) and predictions.dtype == np.float32
    if differentiation == "implicit":
        assert np.ptp(predictions, axis=(0, 1)).min() > 0
        assert predictions.min() >= 0 and predictions.max() < 0.6
        return
    np.testing.assert_array_equal(predictions, np.stack([model.start_set] * 3))
    assert (predictions[..., -1] == 0.5).all()
    assert predictions.min() >= 0 and predictions.max() <= 1
    assert predictions.std() > 0.2


@MODES
def test_predictions_do_not_depend_on_the_batch(differentiation, rng):
    model = small_dspn(differentiation)
    batch, options = images(rng, 5), start_of(differentiation, rng, 5)
    together = array(model(batch, **options))
    for i in range(5):
        one = {name: value[i : i + 1] for name, value in options.items()}
        alone = array(model(batch[i : i + 1], **one))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-6)
    assert np.ptp(together, axis=0).max() > 1e-3, "all images alike"


@MODES
def test_permuting_the_start_permutes_the_predictions(differentiation, rng):
    model = small_dspn(differentiation)
    batch, options = images(rng), start_of(differentiation, rng)
    order = [2, 0, 3, 1]
    straight = array(model(batch, **options))
    if options:
        options["noise"] = options["noise"][:, order]
    else:
        model.start_set.assign(array(model.start_set)[order])
    permuted = array(model(batch, **options))
    np.testing.assert_allclose(permuted, straight[:, order], atol=1e-5)
    assert np.abs(permuted - straight).max() > 0.01


@MODES
def test_the_inner_loss_falls_at_random_initialisation(differentiation, rng):
    model = sa.DSPN.from_preset(
        "clevr_cpu", load_weights=False, differentiation=differentiation
    )
    batch = rng.uniform(-1, 1, [4, 64, 64, 3]).astype("float32")
    losses = array(model.inner_losses(batch, num_iterations=8))
    assert losses.shape == (4, 9)
    assert (np.diff(losses, axis=1) < 0).all()
    model.check_training(batch)  # Has no warning.


@MODES
@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (1e-7, r"hardly move.*Raise `inner_learning_rate`.*inner_learning_rate=1e-07"),
        (1e6, r"explode: 5 inner steps bring.*Lower.*inner_learning_rate=1000000.0"),
    ],
)
def test_an_inner_learning_rate_that_does_not_suit(differentiation, rate, message, rng):
    model = small_dspn(differentiation, inner_learning_rate=rate)
    with pytest.warns(UserWarning, match=message):
        model.check_training(images(rng))


def test_sets_that_are_no_longer_numbers_explode_too(rng):
    sets = [np.zeros((1, 2, 3)), np.full((1, 2, 3), np.nan)]
    assert describe_problem([0.1, np.nan], sets).startswith("The sets explode")
    small_dspn().check_training(images(rng), num_iterations=0)  # Has no warning.


def test_implicit_gradient_is_that_of_minus_the_inner_gradient(rng):
    model = small_dspn("implicit")
    batch, noise = images(rng), start_of("implicit", rng)["noise"]
    *_, before, last = descend(model, batch, 0.1 * noise, 1.0)
    mix = rng.normal(size=last.shape).astype("float32")
    mix_inside = np.where((last > 0) & (last < 1), mix, 0)
    weights = [weight.value for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        gradient = inner_gradient(model, before, vector_of(model, batch))
        loss = tf.reduce_sum(mix_inside * (before - gradient))
    expected = tape.gradient(loss, weights)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(mix * model(batch, noise=noise))
    for actual, each in zip(tape.gradient(loss, weights), expected, strict=True):
        np.testing.assert_allclose(actual, each, rtol=1e-3, atol=1e-6)
        assert np.abs(each).max() > 0


@pytest.mark.slow
def test_unrolled_gradient_equals_finite_differences(rng):
    model = small_dspn(dtype="float64", num_iterations=3)
    batch = {"image": images(rng), "target": rng.uniform(size=(3, 2, 5))}

    def loss():
        return tf.reduce_sum(model.loss_per_example(batch))

    weights = model.trainable_weights
    for weight in weights:  # Padding is at a kink of the ReLU where biases are zero.
        weight.assign_add(rng.normal(size=weight.shape, scale=0.1))
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [weight.value for weight in weights])
    epsilon = 1e-6
    for weight, gradient in zip(weights, gradients, strict=True):
        direction, values = rng.normal(size=weight.shape), weight.numpy()
        losses = []
        for sign in (1, -1):
            weight.assign(values + sign * epsilon * direction)
            losses.append(loss())
        weight.assign(values)
        slope = (losses[0] - losses[1]) / (2 * epsilon)
        np.testing.assert_allclose(
            np.sum(direction * gradient), slope, rtol=1e-4, atol=1e-7
        )


def test_the_loss_adds_that_of_the_set_encoder(rng):
    model = small_dspn()
    targets = rng.uniform(size=(3, 2, 5)).astype("float32")
    batch = {"image": images(rng), "target": targets}
    sets = descend(model, batch["image"], np.stack([model.start_set] * 3), 25.0)
    padded = np.pad(targets, [[0, 0], [0, 2], [0, 0]])
    errors = array(model.set_encoder(padded) - vector_of(model, batch["image"]))
    size = np.abs(errors)
    encoded = np.where(size < 1, size**2 / 2, size - 0.5).mean(axis=-1)
    matched = [
        float(sa.hungarian_huber_loss(x[None], y[None]))
        for x, y in zip(sets[-1].numpy(), padded, strict=True)
    ]
    np.testing.assert_allclose(
        array(model.loss_per_example(batch)), matched + 0.1 * 4 * encoded, rtol=1e-4
    )


@pytest.mark.slow
@MODES
def test_every_weight_learns_by_fit(differentiation, rng):
    model = small_dspn(differentiation)
    before = [array(weight) for weight in model.trainable_weights]
    model.compile(keras.optimizers.Adam(3e-3), run_eagerly=True)
    targets = rng.uniform(size=(8, 4, 5)).astype("float32")
    history = model.fit(
        images(rng, 8), targets, batch_size=8, epochs=20, verbose=0
    ).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(array(weight) - old).max() > 0, weight.path


def test_options_at_call_time(rng):
    model = small_dspn("implicit")
    assert model.noise_shape() == (4, 5) and model.noise_shape(7) == (7, 5)
    assert small_dspn().noise_shape() is None
    assert model(images(rng), num_slots=7, num_iterations=2).shape == (3, 7, 5)
    noise = start_of("implicit", rng, num_slots=6)["noise"]
    outputs = model.named_outputs(images(rng), noise=noise)
    assert outputs["predictions"].shape == (3, 6, 5)
    assert np.abs(array(model(images(rng)) - model(images(rng)))).max() > 0


def test_mixed_precision_keeps_the_inner_loop_in_float32():
    model = small_dspn(dtype="mixed_float16")
    assert model.to_vector.compute_dtype == "float16"
    assert model.set_encoder.compute_dtype == "float32"
    assert model.set_encoder.pool.compute_dtype == "float32"


@MODES
def test_presets(differentiation):
    entry = find_model("set_prediction", "dspn")
    assert entry.model_class is sa.DSPN
    names = {"clevr10", "clevr6_properties", "clevr_cpu", "clevr6_properties_cpu"}
    assert set(sa.DSPN.presets) == names
    for name, preset in entry.presets.items():
        model = sa.DSPN.from_preset(
            name, load_weights=False, differentiation=differentiation
        )
        assert model.resolution == preset.resolution
        assert model.num_slots == preset.max_num_objects
        assert model.differentiation == differentiation
        json.dumps(model.get_config())
    model = sa.DSPN.from_preset(
        "clevr10", load_weights=False, differentiation=differentiation
    )
    if differentiation == "unrolled":
        assert model.set_encoder.count_params() == 293_376
        assert model.start_set.shape == (10, 19)  # 190 weights.
    else:
        assert model.set_encoder.count_params() == 278_016
    # Same encoder as the classifier's, but for the stride, and 8x8 positions.
    classifier = sa.SlotAttentionClassifier.from_preset("clevr10", load_weights=False)
    for encoder in (model.encoder, sa.DSPN((128, 128), 10).encoder):
        assert encoder.count_params() == classifier.encoder.count_params()
        assert encoder.feature_resolution == (8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_slots": 0}, r"`num_slots`.*num_slots=0"),
        ({"num_iterations": -1}, r"`num_iterations`.*at least 0.*num_iterations=-1"),
        ({"num_channels": 0}, r"`num_channels`.*num_channels=0"),
        ({"latent_size": 0}, r"`latent_size`.*latent_size=0"),
        ({"set_encoder_size": 0}, r"`set_encoder_size`.*set_encoder_size=0"),
        ({"num_properties": 0}, r"`num_properties`.*num_properties=0"),
        ({"differentiation": "exact"}, r"\"unrolled\" or \"implicit\".*'exact'"),
        ({"inner_learning_rate": 0}, r"positive number.*inner_learning_rate=0"),
        ({"inner_learning_rate": "1"}, r"positive number.*inner_learning_rate='1'"),
        ({"inner_learning_rate": float("nan")}, r"inner_learning_rate=nan"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_dspn(**arguments)


@pytest.mark.parametrize(
    ("differentiation", "options", "message"),
    [
        ("unrolled", {"num_slots": 3}, r"start set is learned.*num_slots=3"),
        ("unrolled", {"noise": np.zeros((3, 4, 5))}, r"learned.*\(3, 4, 5\)"),
        ("unrolled", {"num_iterations": 1.5}, r"num_iterations=1.5"),
        ("implicit", {"num_slots": 0}, r"num_slots=0"),
        ("implicit", {"noise": np.zeros((3, 4, 6))}, r"noise.shape=\(3, 4, 6\)"),
    ],
)
def test_call_errors(differentiation, options, message, rng):
    with pytest.raises(ValueError, match=message):
        small_dspn(differentiation)(images(rng), **options)


def test_images_and_targets_that_do_not_fit(rng):
    model = small_dspn()
    with pytest.raises(ValueError, match=r"Received: images.shape=\(2, 6, 8, 3\)"):
        model(np.zeros((2, 6, 8, 3), "float32"))
    for targets, message in [
        (None, "DSPN learns from the properties of objects"),
        (np.zeros((3, 5, 5)), "num_slots=5"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.loss_per_example({"image": images(rng), "target": targets})


@pytest.mark.slow
@MODES
def test_fit_on_jax(differentiation, run_python):
    pytest.importorskip("jax")
    run_python(
        f"""
import keras, numpy as np
import slot_attention_tf as sa
keras.utils.set_random_seed(0)
encoder = sa.ConvEncoder((8, 8), filters=(8,), strides=2)
model = sa.DSPN(
    (8, 8), 3, 4, differentiation={differentiation!r}, encoder=encoder,
    latent_size=16, set_encoder_size=16,
)
rng = np.random.default_rng(0)
images = rng.uniform(-1, 1, [3, 8, 8, 3]).astype("float32")
targets = rng.uniform(0, 1, [3, 3, 19]).round().astype("float32")
model.compile(keras.optimizers.Adam(3e-3))
losses = model.fit(images, targets, epochs=30, verbose=0).history["loss"]
assert losses[-1] < 0.8 * losses[0], losses
assert model.predict(images, verbose=0).shape == (3, 3, 19)
""",
        KERAS_BACKEND="jax",
    )


def scenes(number, rng, size=12, most=3):
    """Bright squares on black, and sets of `(row, column, exists)`."""
    counts = rng.integers(1, most + 1, number)
    pictures = np.full((number, size, size, 1), -1, "float32")
    targets = np.zeros((number, most, 3), "float32")
    for picture, target, count in zip(pictures, targets, counts, strict=True):
        cells = rng.choice((size // 2) ** 2, count, replace=False)
        for element, cell in zip(target, cells, strict=False):
            row, column = 2 * (cell // (size // 2)), 2 * (cell % (size // 2))
            picture[row : row + 2, column : column + 2] = 1
            element[:] = row / (size - 2), column / (size - 2), 1
    return pictures, targets


def loss_of_the_best_constant(train_targets, targets):
    """The least loss of one set for all images: a scene of training, or the mean."""
    mean = train_targets.mean(axis=(0, 1))
    place = train_targets[train_targets[..., 2] == 1][:, :2].mean(axis=0)
    constants = [np.tile([*place, mean[2]], (3, 1)), *train_targets[:300]]
    return min(
        float(sa.hungarian_huber_loss(np.stack([constant] * len(targets)), targets))
        for constant in constants
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("differentiation", "seed"),
    [("implicit", 0), ("implicit", 1), ("implicit", 2), ("unrolled", 0)],
)
def test_learns_small_sets(differentiation, seed):
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    (pictures, targets), (new, new_targets) = scenes(2048, rng), scenes(512, rng)
    model = sa.DSPN(
        (12, 12),
        num_slots=3,
        num_iterations=5,
        num_channels=1,
        num_properties=3,
        differentiation=differentiation,
        latent_size=64,
        set_encoder_size=64,
        encoder=sa.ConvEncoder((12, 12), filters=(16, 16), kernel_size=3, strides=2),
        seed=seed,
    )

    def loss():
        predictions = model.predict(new, batch_size=512, verbose=0)
        return float(sa.hungarian_huber_loss(predictions, new_targets))

    constant, untrained = loss_of_the_best_constant(targets, new_targets), loss()
    model.compile(keras.optimizers.Adam(2e-3, global_clipnorm=1.0))
    model.fit(pictures, targets, batch_size=64, epochs=6, verbose=0)
    assert loss() < 0.3 * min(constant, untrained)
