"""Featurewise sort pooling and the set encoder, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.layers import FSPool, SetEncoder


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def pool_by_numpy(sets, knots):
    """One set and one feature at a time."""
    *batch, n, width = sets.shape
    ranks = np.linspace(0, 1, n)
    pooled = np.zeros((*batch, width))
    for index in np.ndindex(*batch):
        for feature in range(width):
            weights = np.interp(ranks, np.linspace(0, 1, len(knots)), knots[:, feature])
            largest_first = sorted(sets[index][:, feature], reverse=True)
            pooled[index][feature] = np.dot(largest_first, weights)
    return pooled


@pytest.mark.parametrize(
    ("shape", "num_knots"),
    [
        ((3, 7, 5), 21),
        ((3, 7, 5), 7),
        ((2, 3, 6, 4), 2),
        ((2, 2, 4), 3),
        ((2, 1, 4), 3),
    ],
)
def test_equals_the_oracle(shape, num_knots, rng):
    layer = FSPool(num_knots)
    sets = rng.normal(size=shape).astype("float32")
    pooled = array(layer(sets))
    assert pooled.shape == layer.compute_output_shape(shape)
    np.testing.assert_allclose(
        pooled, pool_by_numpy(sets, array(layer.knots)), rtol=1e-4, atol=1e-5
    )


def test_one_layer_pools_sets_of_any_size(rng):
    layer = FSPool(4)
    layer.build((None, None, 3))
    for n in (1, 2, 9):
        sets = rng.normal(size=(2, n, 3)).astype("float32")
        expected = pool_by_numpy(sets, array(layer.knots))
        np.testing.assert_allclose(array(layer(sets)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [FSPool(), SetEncoder(8, 5), SetEncoder(8, 5, pairs=False)]
)
def test_the_order_of_the_elements_does_not_matter(layer, rng):
    sets = rng.normal(size=(3, 6, 4)).astype("float32")
    encoded = array(layer(sets))
    np.testing.assert_allclose(
        array(layer(sets[:, rng.permutation(6)])), encoded, rtol=1e-5, atol=1e-5
    )
    assert np.ptp(encoded, axis=0).max() > 0.01


def test_gradients_equal_finite_differences_away_from_ties(rng):
    layer = FSPool(5, dtype="float64")
    values = rng.permuted(np.tile(np.arange(6.0)[:, None], (2, 1, 3)), axis=1)
    sets = tf.constant(values + rng.uniform(-0.3, 0.3, values.shape))
    layer.build(sets.shape)
    mix = rng.normal(size=(2, 3))

    def loss(sets):
        return tf.reduce_sum(mix * tf.sin(layer(sets)))

    with tf.GradientTape() as tape:
        tape.watch(sets)
        value = loss(sets)
    by_sets, by_knots = tape.gradient(value, [sets, layer.knots.value])
    epsilon = 1e-5
    for index in np.ndindex(*sets.shape):
        step = np.zeros(sets.shape)
        step[index] = epsilon
        slope = (loss(sets + step) - loss(sets - step)) / (2 * epsilon)
        np.testing.assert_allclose(by_sets[index], slope, rtol=1e-5, atol=1e-8)
    knots = array(layer.knots)
    for index in np.ndindex(*knots.shape):
        losses = []
        for sign in (1, -1):
            moved = knots.copy()
            moved[index] += sign * epsilon
            layer.knots.assign(moved)
            losses.append(loss(sets))
        slope = (losses[0] - losses[1]) / (2 * epsilon)
        np.testing.assert_allclose(by_knots[index], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("pairs", [True, False])
def test_set_encoder_equals_the_oracle(pairs, rng):
    layer = SetEncoder(6, 5, pairs=pairs, num_knots=4)
    sets = rng.normal(size=(2, 3, 4)).astype("float32")
    encoded = array(layer(sets))
    hidden, hidden_bias, output, output_bias, knots = layer.get_weights()
    for set_, vector in zip(sets, encoded, strict=True):
        inputs = set_
        if pairs:
            inputs = np.array([np.concatenate([a, b]) for a in set_ for b in set_])
        x = np.maximum(inputs @ hidden + hidden_bias, 0) @ output + output_bias
        expected = pool_by_numpy(x / (9 if pairs else 1), knots)
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)


def test_has_the_parameters_of_the_papers():
    pairs, elements = SetEncoder(), SetEncoder(pairs=False, num_knots=10)
    for encoder in (pairs, elements):
        encoder.build((None, 10, 19))
    # DSPN's code counts 556,032, of which a layer of 262,656 is never used.
    assert pairs.count_params() == 293_376
    # 19 x 512 + 512, 512 x 512 + 512, and one weight for each of 10 ranks.
    assert elements.count_params() == 278_016
    assert array(pairs.pool.knots).std() == pytest.approx(1, abs=0.05)
    assert array(elements.pool.knots).std() == pytest.approx(10**-0.5, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FSPool(1), r"at least 2 knots.*num_knots=1"),
        (lambda: FSPool(2.5), r"`num_knots` must be an integer.*num_knots=2.5"),
        (lambda: FSPool()(np.zeros(3)), r"inputs.shape=\(3,\)"),
        (lambda: SetEncoder(0), r"`hidden_size`.*hidden_size=0"),
        (lambda: SetEncoder(output_size=-1), r"`output_size`.*output_size=-1"),
        (lambda: SetEncoder(num_knots=0), r"`num_knots`.*num_knots=0"),
        (lambda: SetEncoder()(np.zeros((3, 4))), r"inputs.shape=\(3, 4\)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
