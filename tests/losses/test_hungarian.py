"""The matched Huber loss against brute force, SciPy and finite differences."""

import itertools

import keras
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from slot_attention_tf.clevr_properties import feature_weights
from slot_attention_tf.losses import (
    HungarianHuberLoss,
    hungarian_huber_loss,
    hungarian_huber_loss_per_example,
    pad_targets,
)


def huber(errors):
    errors = np.abs(errors)
    return np.where(errors <= 1, errors**2 / 2, errors - 0.5)


def pair_costs(x, y, weights=1.0):
    """Costs `[n, m]` of all pairs of one example."""
    return np.mean(huber(x[:, None] - y[None]) * weights, axis=-1)


def loss_by_brute_force(x, y, weights=1.0):
    """Least cost over every way to give the smaller set distinct partners."""
    losses = []
    for x_set, y_set in zip(x, y, strict=True):
        cost = pair_costs(x_set, y_set, weights)
        cost = cost if cost.shape[0] <= cost.shape[1] else cost.T
        rows = np.arange(cost.shape[0])
        losses.append(
            min(
                cost[rows, list(columns)].sum()
                for columns in itertools.permutations(range(cost.shape[1]), len(rows))
            )
        )
    return np.array(losses)


def per_example(x, y, weights=None):
    loss = hungarian_huber_loss_per_example(x, y, weights)
    return keras.ops.convert_to_numpy(loss)


def random_sets(seed, n, m, batch_size=8, num_features=19, scale=1.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=scale, size=[batch_size, n, num_features])
    y = rng.normal(scale=scale, size=[batch_size, m, num_features])
    return x.astype("float32"), y.astype("float32")


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (2, 2), (4, 4), (6, 6), (3, 6), (6, 2), (1, 5)]
)
def test_equals_brute_force(n, m):
    x, y = random_sets(n * 10 + m, n, m)
    expected = loss_by_brute_force(x, y)
    np.testing.assert_allclose(per_example(x, y), expected, rtol=1e-5)
    assert float(hungarian_huber_loss(x, y)) == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(per_example(y, x), expected, rtol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(10, 10), (40, 25)])
def test_equals_scipy_on_larger_sets(n, m):
    x, y = random_sets(0, n, m, batch_size=4)
    expected = []
    for x_set, y_set in zip(x, y, strict=True):
        cost = pair_costs(x_set, y_set)
        expected.append(cost[linear_sum_assignment(cost)].sum())
    np.testing.assert_allclose(per_example(x, y), expected, rtol=1e-5)


def test_ties_and_identical_elements():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, [20, 5, 3]).astype("float32")  # many equal elements
    y = rng.integers(0, 2, [20, 5, 3]).astype("float32")
    np.testing.assert_allclose(per_example(x, y), loss_by_brute_force(x, y), rtol=1e-6)
    same = np.ones([2, 5, 3], "float32")
    np.testing.assert_array_equal(per_example(same, same), [0, 0])
    np.testing.assert_allclose(per_example(same, 0 * same), [2.5, 2.5])
    shuffled = x[:, rng.permutation(5)]
    np.testing.assert_array_equal(per_example(x, shuffled), np.zeros(20))


def test_feature_weights_change_the_matching_too():
    x, y = random_sets(2, 5, 5)
    weights = feature_weights(coords=30.0, color=0.0)
    expected = loss_by_brute_force(x, y, np.array(weights))
    np.testing.assert_allclose(per_example(x, y, weights), expected, rtol=1e-5)
    # The cheapest pairs without weights are other pairs.
    for x_set, y_set, value in zip(x, y, expected, strict=True):
        unweighted = linear_sum_assignment(pair_costs(x_set, y_set))
        if pair_costs(x_set, y_set, weights)[unweighted].sum() > value + 0.1:
            return
    raise AssertionError("the example does not separate the two matchings")


def test_half_precision_is_computed_in_float32():
    x, y = random_sets(3, 4, 4)
    x16, y16 = x.astype("float16"), y.astype("float16")
    expected = per_example(x16.astype("float32"), y16.astype("float32"))
    assert expected.dtype == "float32"
    np.testing.assert_array_equal(per_example(x16, y16), expected)


@pytest.mark.parametrize("weights", [None, feature_weights(coords=3.0)])
def test_gradient_equals_finite_differences(weights):
    tf = pytest.importorskip("tensorflow")
    x, y = (sets.astype("float64") for sets in random_sets(4, 4, 6, batch_size=2))
    with tf.GradientTape() as tape:
        variable = tf.constant(x)
        tape.watch(variable)
        loss = hungarian_huber_loss(variable, y, weights)
    gradient = tape.gradient(loss, variable).numpy()

    step = 1e-6
    expected = np.zeros_like(x)
    factors = 1.0 if weights is None else np.array(weights)
    for position in np.ndindex(*x.shape):
        moved = {+1: x.copy(), -1: x.copy()}
        for sign, values in moved.items():
            values[position] += sign * step
        plus, minus = (
            loss_by_brute_force(moved[s], y, factors).mean() for s in (1, -1)
        )
        expected[position] = (plus - minus) / (2 * step)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_inside_tf_function_with_unknown_shapes():
    tf = pytest.importorskip("tensorflow")
    spec = tf.TensorSpec([None, None, 19], tf.float32)

    @tf.function(input_signature=[spec, spec])
    def loss_and_gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = hungarian_huber_loss(x, y)
        return loss, tape.gradient(loss, x)

    for sizes in ((3, 3), (5, 2)):
        x, y = random_sets(5, *sizes)
        loss, gradient = loss_and_gradient(x, y)
        assert float(loss) == pytest.approx(loss_by_brute_force(x, y).mean(), rel=1e-5)
        assert np.all(np.isfinite(gradient)) and np.any(gradient)


@pytest.mark.parametrize("num_elements", [3, 13])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_compiled_loss_of_a_broken_example_is_nan(value, jit_compile, num_elements):
    tf = pytest.importorskip("tensorflow")
    x, y = random_sets(6, num_elements, num_elements, batch_size=4)
    x[2, 1, 0] = value
    compiled = tf.function(hungarian_huber_loss_per_example, jit_compile=jit_compile)
    loss = compiled(x, y).numpy()
    assert np.isnan(loss[2])
    whole = [0, 1, 3]
    np.testing.assert_allclose(loss[whole], per_example(x[whole], y[whole]), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compile_and_fit_learns_an_unordered_target(jit_compile):
    keras.utils.set_random_seed(0)
    _, y = random_sets(7, 4, 3, batch_size=1, num_features=2)
    inputs = np.ones([8, 1], "float32")
    targets = np.stack(
        [y[0, np.random.default_rng(i).permutation(3)] for i in range(8)]
    )
    features = keras.Input([1])
    outputs = keras.layers.Reshape([4, 2])(keras.layers.Dense(8)(features))
    model = keras.Model(features, outputs)
    model.compile(
        keras.optimizers.SGD(0.5), loss=HungarianHuberLoss(), jit_compile=jit_compile
    )
    history = model.fit(inputs, targets, epochs=60, verbose=0)
    assert history.history["loss"][-1] < 1e-3 < history.history["loss"][0]

    model.compile(loss=hungarian_huber_loss, jit_compile=jit_compile)
    assert model.evaluate(inputs, targets, verbose=0) < 1e-3


def test_keras_loss_form():
    x, y = random_sets(8, 4, 4)
    weights = feature_weights(size=2.0)
    loss = HungarianHuberLoss(weights)
    assert float(loss(y, x)) == pytest.approx(
        loss_by_brute_force(x, y, np.array(weights)).mean(), rel=1e-5
    )
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(copy(y, x)) == float(loss(y, x))
    with pytest.raises(ValueError, match=r"num_slots=4.*\(8, 4, 19\) for 3 pred"):
        loss(y, x[:, :3])


@pytest.mark.slow
def test_mirrored_strategy_on_two_devices(run_python):
    """The gradient summed over two replicas is that of the whole batch."""
    pytest.importorskip("tensorflow")
    run_python(
        """
import numpy as np
import tensorflow as tf
from slot_attention_tf.losses import hungarian_huber_loss_per_example
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
x, y = rng.normal(size=[2, 8, 5, 19]).astype("float32")
with strategy.scope():
    shift = tf.Variable(tf.zeros([5, 19]))

def gradient(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(hungarian_huber_loss_per_example(x + shift, y)) / 8
    return tape.gradient(loss, shift)

@tf.function
def distributed(x, y):
    gradients = strategy.run(gradient, [x, y])
    return strategy.reduce("SUM", gradients, axis=None)

data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
parts = next(iter(strategy.experimental_distribute_dataset(data)))
assert len(strategy.experimental_local_results(parts[0])) == 2
assert strategy.experimental_local_results(parts[0])[1].shape[0] == 4
np.testing.assert_allclose(distributed(*parts), gradient(x, y), atol=1e-6)
"""
    )


@pytest.mark.slow
def test_jax_backend(run_python):
    pytest.importorskip("jax")
    x, y = random_sets(9, 4, 6, batch_size=3)
    expected = float(loss_by_brute_force(x, y).mean())
    run_python(
        f"""
import jax, numpy as np
from slot_attention_tf.losses import hungarian_huber_loss
rng = np.random.default_rng(9)
x = rng.normal(scale=1.5, size=[3, 4, 19]).astype("float32")
y = rng.normal(scale=1.5, size=[3, 6, 19]).astype("float32")
np.testing.assert_allclose(hungarian_huber_loss(x, y), {expected}, rtol=1e-5)
loss, gradient = jax.jit(jax.value_and_grad(hungarian_huber_loss))(x, y)
np.testing.assert_allclose(loss, {expected}, rtol=1e-5)
eager = jax.grad(hungarian_huber_loss)(x, y)
np.testing.assert_allclose(eager, gradient, atol=1e-7)
step = 1e-2
direction = rng.normal(size=x.shape).astype("float32")
slope = (hungarian_huber_loss(x + step * direction, y)
         - hungarian_huber_loss(x - step * direction, y)) / (2 * step)
np.testing.assert_allclose(slope, (gradient * direction).sum(), rtol=2e-2)
x[1, 0, 0] = np.inf
assert np.isnan(jax.jit(hungarian_huber_loss)(x, y))
try:
    hungarian_huber_loss(x, y)
except ValueError as error:
    assert "example 1 of a batch of 3" in str(error), error
else:
    raise AssertionError("no error")
""",
        KERAS_BACKEND="jax",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_values_must_be_finite(value, which):
    sets = random_sets(10, 3, 3)
    sets[which][5, 2, 0] = value
    with pytest.raises(ValueError, match=r"NaN or infinite.*example 5 of a batch of 8"):
        hungarian_huber_loss(*sets)


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "message"),
    [
        ([4, 19], [4, 19], r"\[batch, elements, features\].*x.shape=\(4, 19\)"),
        ([2, 4, 19], [4, 19], r"\[batch, elements, features\].*y.shape=\(4, 19\)"),
        ([2, 4, 19], [1, 4, 19], r"number of sets \(axis 0\).*y.shape=\(1, 4, 19\)"),
        ([2, 4, 19], [2, 4, 18], r"number of features \(axis 2\)"),
    ],
)
def test_shape_errors(x_shape, y_shape, message):
    with pytest.raises(ValueError, match=message):
        hungarian_huber_loss(np.zeros(x_shape), np.zeros(y_shape))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 18, r"19 features. Received: weights of shape \(18,\)"),
        ([-1.0] + [1.0] * 18, "not negative"),
        ([np.nan] + [1.0] * 18, "finite"),
    ],
)
def test_weight_errors(weights, message):
    with pytest.raises(ValueError, match=message):
        hungarian_huber_loss(*random_sets(11, 2, 2), weights)


def test_spare_predictions_learn_from_padded_targets():
    x, y = random_sets(12, 5, 3, batch_size=2)
    padded = pad_targets(y, 5)
    expected = np.concatenate([y, np.zeros([2, 2, 19], "float32")], axis=1)
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_allclose(
        per_example(x, padded), loss_by_brute_force(x, expected), rtol=1e-5
    )
    np.testing.assert_array_equal(pad_targets(y, 3), y)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_pad_targets_with_unknown_shapes(jit_compile):
    tf = pytest.importorskip("tensorflow")

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 19])], jit_compile=jit_compile
    )
    def pad(target):
        padded = pad_targets(target, 4)
        assert padded.shape[1:] == (4, 19)
        return padded

    for num_targets in (0, 2, 4):
        _, y = random_sets(13, 1, num_targets)
        np.testing.assert_array_equal(pad(y), pad_targets(y, 4))
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.InternalError)):
        pad(np.zeros([2, 5, 19], "float32"))


def test_pad_targets_errors():
    with pytest.raises(ValueError, match=r"num_slots=5.*\(2, 5, 19\) for 4 predicted"):
        pad_targets(np.zeros([2, 5, 19]), 4)
    with pytest.raises(ValueError, match=r"target.shape=\(5, 19\)"):
        pad_targets(np.zeros([5, 19]), 4)
