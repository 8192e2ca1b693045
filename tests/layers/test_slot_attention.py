"""SlotAttention against golden numbers, plain NumPy and the paper's propositions."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.layers import SlotAttention, SlotInitializer
from tests.conftest import DATA


@pytest.fixture(scope="module")
def golden():
    """Numbers of the reference release's layer: K=3, D=8, hidden 16, N=20, D_in=12."""
    return dict(np.load(DATA / "slot_attention_layer.npz"))


def golden_layer(golden, **kwargs):
    layer = SlotAttention(3, 3, 8, 16, **kwargs)
    layer.build((None, 20, 12))
    names = {
        "slots_mu": layer.slot_initializer.mu,
        "slots_log_sigma": layer.slot_initializer.log_sigma,
        "slot_attention/q/kernel": layer.project_q.kernel,
        "slot_attention/k/kernel": layer.project_k.kernel,
        "slot_attention/v/kernel": layer.project_v.kernel,
        "slot_attention/gru_cell/kernel": layer.gru.kernel,
        "slot_attention/gru_cell/recurrent_kernel": layer.gru.recurrent_kernel,
        "slot_attention/gru_cell/bias": layer.gru.bias,
        "dense/kernel": layer.mlp_hidden.kernel,
        "dense/bias": layer.mlp_hidden.bias,
        "dense_1/kernel": layer.mlp_output.kernel,
        "dense_1/bias": layer.mlp_output.bias,
    }
    norms = (layer.norm_inputs, layer.norm_slots, layer.norm_mlp)
    for i, norm in enumerate(norms):
        name = "slot_attention/layer_normalization" + (f"_{i}" if i else "")
        names |= {f"{name}/gamma": norm.gamma, f"{name}/beta": norm.beta}
    assert len(names) == len(layer.trainable_variables)
    for name, variable in names.items():
        variable.assign(golden[f"weights/{name}"])
    return layer


@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_matches_the_reference_release(golden, iterations):
    slots = golden_layer(golden)(
        golden["inputs"],
        initial_slots=golden["initial_slots"],
        num_iterations=iterations,
    )
    np.testing.assert_allclose(slots, golden[f"slots_T{iterations}"], atol=1e-5)


def test_initial_slots_are_samples_of_the_learned_gaussian(golden):
    layer = SlotInitializer(2, seed=1)
    layer.build((None, 1, 1))
    layer.mu.assign([[[1.0, -2.0]]])
    layer.log_sigma.assign(np.log([[[0.5, 3.0]]]))
    slots = np.array(layer(np.zeros((4000, 1, 1)), num_slots=5)).reshape(-1, 2)
    np.testing.assert_allclose(slots.mean(axis=0), [1.0, -2.0], atol=0.07)
    np.testing.assert_allclose(slots.std(axis=0), [0.5, 3.0], rtol=0.03)


def test_the_noise_of_the_initial_slots_may_be_given(rng):
    layer = SlotInitializer(3, seed=1)
    noise = rng.normal(size=(2, 4, 3)).astype("float32")
    inputs = np.zeros((2, 5, 6))
    slots = layer(inputs, num_slots=4, noise=noise)
    expected = layer.mu + np.exp(layer.log_sigma) * noise
    np.testing.assert_allclose(slots, expected, atol=1e-6)
    # Each image keeps its initial slots in any batch.
    alone = layer(inputs[1:], num_slots=4, noise=noise[1:])
    np.testing.assert_array_equal(alone[0], slots[1])
    assert layer(keras.Input((5, 6)), num_slots=4, noise=noise[:1]).shape[1:] == (4, 3)


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 4, 3), (2, 4, 2), (2, 4)])
def test_rejects_noise_of_another_shape(shape):
    received = re.escape(f"Received: noise.shape={shape}")
    with pytest.raises(ValueError, match=rf"\[2, 4, 3\].*{received}"):
        SlotInitializer(3)(np.zeros((2, 5, 6)), num_slots=4, noise=np.zeros(shape))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_slot_attention(layer, inputs, slots, iterations):
    """Algorithm 1 in plain NumPy, one set at a time."""
    w = {
        variable.path.split("/", 1)[-1]: keras.ops.convert_to_numpy(variable)
        for variable in layer.variables
    }

    def norm(x, name):
        scale = np.sqrt(x.var(-1, keepdims=True) + 1e-3)
        return (x - x.mean(-1, keepdims=True)) / scale * w[f"{name}/gamma"] + w[
            f"{name}/beta"
        ]

    x = norm(inputs.astype("float64"), "norm_inputs")
    keys, values = x @ w["project_k/kernel"], x @ w["project_v/kernel"]
    slots, d = slots.astype("float64"), slots.shape[-1]
    for _ in range(iterations):
        logits = keys @ (norm(slots, "norm_slots") @ w["project_q/kernel"]).T / d**0.5
        attention = np.exp(logits - logits.max(1, keepdims=True))
        attention /= attention.sum(1, keepdims=True)  # [N, K]
        weights = (attention + layer.epsilon) / (attention + layer.epsilon).sum(0)
        gx = weights.T @ values @ w["gru/kernel"] + w["gru/bias"][0]
        gh = slots @ w["gru/recurrent_kernel"] + w["gru/bias"][1]
        update = sigmoid(gx[:, :d] + gh[:, :d])
        reset = sigmoid(gx[:, d : 2 * d] + gh[:, d : 2 * d])
        candidate = np.tanh(gx[:, 2 * d :] + reset * gh[:, 2 * d :])
        slots = update * slots + (1 - update) * candidate
        hidden = norm(slots, "norm_mlp") @ w["mlp_hidden/kernel"]
        hidden = np.maximum(hidden + w["mlp_hidden/bias"], 0)
        slots = slots + hidden @ w["mlp_output/kernel"] + w["mlp_output/bias"]
    return slots, attention


def randomised_layer(rng, *args, input_size=6, **kwargs):
    layer = SlotAttention(*args, **kwargs)
    layer.build((None, None, input_size))
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.5))
    return layer


@pytest.mark.parametrize("num_slots,iterations", [(1, 1), (4, 3), (9, 5)])
def test_matches_plain_numpy(rng, num_slots, iterations):
    layer = randomised_layer(rng, 3, 4, 10, 7)
    inputs = rng.normal(size=(3, 15, 6)).astype("float32")
    initial = rng.normal(size=(3, num_slots, 10)).astype("float32")
    slots, attention = layer(
        inputs,
        initial_slots=initial,
        num_iterations=iterations,
        return_attention=True,
    )
    assert attention.shape == (3, iterations, 15, num_slots)
    for b in range(3):
        expected = numpy_slot_attention(layer, inputs[b], initial[b], iterations)
        np.testing.assert_allclose(slots[b], expected[0], atol=1e-4)
        np.testing.assert_allclose(attention[b, -1], expected[1], atol=1e-4)


def plain_slot_attention(layer, inputs, slots, mask):
    """Algorithm 1 line by line, with keys and values of all inputs."""

    def norm(x, part):
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-3) * part.gamma + part.beta

    x = norm(inputs, layer.norm_inputs)
    keys, values = x @ layer.project_k.kernel, x @ layer.project_v.kernel
    attention = []
    for _ in range(layer.num_iterations):
        slots_prev = slots
        queries = norm(slots, layer.norm_slots) @ layer.project_q.kernel
        logits = keys @ tf.transpose(queries, (0, 2, 1)) / layer.slot_size**0.5
        attention.append(tf.nn.softmax(logits, axis=-1) * mask)  # [B, N, K]
        weights = (attention[-1] + layer.epsilon) * mask
        weights = weights / tf.reduce_sum(weights, axis=1, keepdims=True)
        updates = tf.transpose(weights, (0, 2, 1)) @ values
        slots = tf.stack(
            [
                layer.gru(updates[:, k], [slots_prev[:, k]])[0]
                for k in range(slots.shape[1])
            ],
            axis=1,
        )
        hidden = norm(slots, layer.norm_mlp) @ layer.mlp_hidden.kernel
        hidden = tf.nn.relu(hidden + layer.mlp_hidden.bias)
        slots = slots + hidden @ layer.mlp_output.kernel + layer.mlp_output.bias
    return slots, tf.stack(attention, axis=1)


@pytest.mark.parametrize("num_slots,iterations,input_size", [(4, 3, 6), (2, 5, 12)])
@pytest.mark.parametrize("dtype,atol", [("float32", 1e-5), ("float64", 1e-12)])
def test_values_and_gradients_equal_those_of_keys_and_values(
    rng, num_slots, iterations, input_size, dtype, atol
):
    layer = randomised_layer(
        rng,
        iterations,
        num_slots,
        8,
        7,
        epsilon=1e-3,
        dtype=dtype,
        input_size=input_size,
    )
    inputs = tf.constant(rng.normal(size=(2, 15, input_size)), dtype)
    initial = tf.constant(rng.normal(size=(2, num_slots, 8)), dtype)
    mask = tf.constant(np.arange(15)[:, None] < np.array([[[15]], [[11]]]))
    weights = [
        tf.constant(rng.normal(size=shape), dtype)
        for shape in ((2, num_slots, 8), (2, iterations, 15, num_slots))
    ]

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch([inputs, initial])
            outputs = function()
            loss = sum(
                tf.reduce_mean(output * weight)
                for output, weight in zip(outputs, weights, strict=True)
            )
        own = [
            variable.value
            for variable in layer.trainable_variables
            if "slot_initializer" not in variable.path
        ]
        return *outputs, *tape.gradient(loss, [inputs, initial, *own])

    ours = run(
        lambda: layer(
            inputs, initial_slots=initial, mask=mask[..., 0], return_attention=True
        )
    )
    plain = run(
        lambda: plain_slot_attention(layer, inputs, initial, tf.cast(mask, dtype))
    )
    assert len(ours) == 4 + 16
    for value, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(value, expected, atol=atol)


def test_order_of_inputs_does_not_matter(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16)
    inputs = rng.normal(size=(2, 30, 6)).astype("float32")
    initial = rng.normal(size=(2, 4, 8)).astype("float32")
    order = rng.permutation(30)
    np.testing.assert_allclose(
        layer(inputs[:, order], initial_slots=initial),
        layer(inputs, initial_slots=initial),
        atol=1e-5,
    )


def test_slots_follow_a_permutation_of_the_initial_slots(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16)
    inputs = rng.normal(size=(2, 30, 6)).astype("float32")
    initial = rng.normal(size=(2, 4, 8)).astype("float32")
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        layer(inputs, initial_slots=initial[:, order]),
        np.array(layer(inputs, initial_slots=initial))[:, order],
        atol=1e-5,
    )


def test_attention_sums_to_one_over_slots_at_every_iteration(rng):
    layer = randomised_layer(rng, 4, 5, 8, 16)
    _, attention = layer(rng.normal(size=(2, 30, 6)), return_attention=True)
    assert attention.shape == (2, 4, 30, 5)
    np.testing.assert_allclose(np.sum(attention, axis=-1), 1.0, atol=1e-6)


def test_masked_inputs_have_no_influence(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16)
    inputs = rng.normal(size=(2, 30, 6)).astype("float32")
    initial = rng.normal(size=(2, 4, 8)).astype("float32")
    mask = np.arange(30) < np.array([[30], [12]])
    garbage = np.where(mask[..., None], inputs, np.nan)
    slots, attention = layer(
        garbage, initial_slots=initial, mask=mask, return_attention=True
    )
    alone = layer(inputs[1:, :12], initial_slots=initial[1:])
    np.testing.assert_allclose(slots[1], alone[0], atol=1e-5)
    np.testing.assert_allclose(
        slots[0], layer(inputs, initial_slots=initial)[0], atol=1e-5
    )
    np.testing.assert_array_equal(attention[1, :, 12:], 0.0)


def test_set_without_inputs_stays_finite(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16)
    slots = layer(np.zeros((1, 5, 6)), mask=np.zeros((1, 5), bool))
    assert np.isfinite(slots).all()


@pytest.mark.parametrize("functional", [False, True])
def test_keras_mask_of_the_previous_layer_is_used(rng, functional):
    inputs = rng.normal(size=(1, 10, 6)).astype("float32")
    inputs[:, 7:] = 0.0
    layer = randomised_layer(rng, 3, 4, 8, 16)
    initial = rng.normal(size=(1, 4, 8)).astype("float32")

    def masked_slots(inputs, initial):
        return layer(keras.layers.Masking()(inputs), initial_slots=initial)

    model = masked_slots
    if functional:
        tensors = [keras.Input((10, 6)), keras.Input((4, 8))]
        model = keras.Model(tensors, masked_slots(*tensors))
    slots = model([inputs, initial]) if functional else model(inputs, initial)
    np.testing.assert_allclose(
        slots, layer(inputs[:, :7], initial_slots=initial), atol=1e-5
    )


@pytest.mark.parametrize("given", ["nothing", "initial_slots", "mask"])
def test_keras_mask_of_an_embedding_in_a_saved_model(rng, tmp_path, given):
    tokens = keras.Input((10,), dtype="int32")
    initial = keras.Input((4, 8))
    mask = keras.Input((10,), dtype="bool")
    call_arguments = {
        "nothing": {},
        "initial_slots": {"initial_slots": initial},
        "mask": {"initial_slots": initial, "mask": mask},
    }[given]
    layer = SlotAttention(2, 4, 8, 16)
    embedded = keras.layers.Embedding(9, 6, mask_zero=True)(tokens)
    _, attention = layer(embedded, return_attention=True, **call_arguments)
    # Older versions of Keras take no inputs that are not used.
    used = [tokens, *call_arguments.values()]
    model = keras.Model(used, attention)
    model.save(tmp_path / "model.keras")
    numbers = rng.integers(1, 9, size=(2, 10))
    numbers[1, 6:] = 0
    given_mask = np.arange(10) < np.array([[3], [10]])
    expected = given_mask if given == "mask" else numbers > 0
    initial = rng.normal(size=(2, 4, 8))
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        attention = each([numbers, initial, given_mask][: len(used)])
        np.testing.assert_allclose(
            np.sum(attention, axis=-1),
            np.repeat(expected[:, None], 2, axis=1),
            atol=1e-6,
        )


@pytest.mark.parametrize("time", [3, None])
def test_inside_time_distributed(rng, time):
    layer = randomised_layer(
        rng, 2, 4, 8, 16, slot_initializer=FixedSlots(name="fixed")
    )
    frames = keras.Input((time, 10, 6))
    slots = keras.layers.TimeDistributed(layer)(frames)
    assert slots.shape == (None, time, 4, 8)
    inputs = rng.normal(size=(2, 3, 10, 6)).astype("float32")
    outputs = np.array(keras.Model(frames, slots)(inputs))
    for i in range(3):
        np.testing.assert_allclose(outputs[:, i], layer(inputs[:, i]), atol=1e-5)


def test_inside_time_distributed_with_random_slots(rng):
    layer = SlotAttention(2, 4, 8, 16)
    slots = keras.layers.TimeDistributed(layer)(rng.normal(size=(2, 3, 10, 6)))
    assert slots.shape == (2, 3, 4, 8)


class FixedSlots(keras.layers.Layer):
    """A user's slot initializer: the same slots in every call."""

    def call(self, inputs, num_slots):
        start = keras.ops.reshape(keras.ops.sin(keras.ops.arange(4.0 * 8)), (1, 4, 8))
        return keras.ops.tile(start, (keras.ops.shape(inputs)[0], 1, 1))


@pytest.mark.parametrize("implicit", [False, True])
def test_gradients_reach_every_weight(rng, implicit):
    layer = SlotAttention(3, 4, 8, 16, implicit_differentiation=implicit)
    inputs = tf.constant(rng.normal(size=(2, 30, 6)), tf.float32)
    target = tf.constant(rng.normal(size=(2, 4, 8)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(inputs) - target))
    gradients = tape.gradient(loss, layer.trainable_variables)
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        if variable is not layer.norm_inputs.beta:
            assert np.abs(gradient).max() > 0, variable.path


def test_implicit_differentiation_keeps_the_value(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16)
    implicit = SlotAttention(3, 4, 8, 16, implicit_differentiation=True)
    implicit.build((None, None, 6))
    implicit.set_weights(layer.get_weights())
    inputs = rng.normal(size=(2, 30, 6)).astype("float32")
    initial = rng.normal(size=(2, 4, 8)).astype("float32")
    np.testing.assert_allclose(
        implicit(inputs, initial_slots=initial),
        layer(inputs, initial_slots=initial),
        atol=1e-5,
    )


def test_implicit_differentiation_is_the_gradient_of_the_last_iteration(rng):
    layer = randomised_layer(rng, 3, 4, 8, 16, implicit_differentiation=True)
    inputs = tf.constant(rng.normal(size=(2, 30, 6)), tf.float32)
    initial = tf.constant(rng.normal(size=(2, 4, 8)), tf.float32)
    kernel = layer.project_v.kernel.value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, initial_slots=initial) ** 2)
    gradient = tape.gradient(loss, kernel)
    before = layer(inputs, initial_slots=initial, num_iterations=2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(
            layer(inputs, initial_slots=tf.constant(before), num_iterations=1) ** 2
        )
    np.testing.assert_allclose(gradient, tape.gradient(loss, kernel), rtol=1e-3)


def test_half_precision_stays_finite_with_many_inputs(rng):
    keras.config.set_dtype_policy("mixed_float16")
    layer = SlotAttention(3, 7, 64, 128)
    inputs = tf.constant(rng.normal(size=(1, 16384, 64)), tf.float16)
    with tf.GradientTape() as tape:
        slots, attention = layer(inputs, return_attention=True)
        loss = tf.reduce_mean(tf.cast(slots, tf.float32) ** 2)
    assert slots.dtype == tf.float16 and attention.dtype == tf.float32
    assert np.isfinite(slots).all()
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert np.isfinite(gradient).all()


def test_half_precision_is_close_to_single(rng):
    single = SlotAttention(3, 7, 16, 32)
    half = SlotAttention(3, 7, 16, 32, dtype="mixed_float16")
    inputs = rng.normal(size=(2, 4096, 16)).astype("float32")
    initial = rng.normal(size=(2, 7, 16)).astype("float32")
    expected = single(inputs, initial_slots=initial)
    half.build((None, None, 16))
    half.set_weights(single.get_weights())
    np.testing.assert_allclose(half(inputs, initial_slots=initial), expected, atol=0.02)


def test_custom_slot_initializer_survives_its_config():
    layer = SlotAttention(
        2, 3, 8, 16, slot_initializer=SlotInitializer(8, seed=5, name="mine")
    )
    copy = SlotAttention.from_config(json.loads(json.dumps(layer.get_config())))
    assert copy.slot_initializer.name == "mine" and copy.slot_initializer.seed == 5


@pytest.mark.parametrize(
    "name,value",
    [
        ("num_iterations", 0),
        ("num_slots", 0),
        ("num_slots", 2.5),
        ("slot_size", -1),
        ("mlp_hidden_size", 0),
        ("epsilon", 0.0),
    ],
)
def test_rejects_sizes_below_one(name, value):
    arguments = {
        "num_iterations": 3,
        "num_slots": 4,
        "slot_size": 8,
        "mlp_hidden_size": 16,
        name: value,
    }
    with pytest.raises(ValueError, match=rf"{name}.*Received: {name}={value}"):
        SlotAttention(**arguments)


@pytest.mark.parametrize("name", ["num_slots", "num_iterations"])
def test_rejects_call_arguments_below_one(name):
    with pytest.raises(ValueError, match=f"Received: {name}=0"):
        SlotAttention(3, 4, 8, 16)(np.zeros((1, 5, 6)), **{name: 0})


def test_rejects_a_feature_map():
    with pytest.raises(ValueError, match=r"rank 3.*\(1, 5, 5, 6\)"):
        SlotAttention(3, 4, 8, 16)(np.zeros((1, 5, 5, 6)))


@pytest.mark.parametrize("shape", [(1, 4, 9), (3, 4, 8), (2, 4), (2, 1, 4, 8)])
def test_rejects_initial_slots_of_another_shape(shape):
    with pytest.raises(
        ValueError, match=rf"\[2, num_slots, 8\].*{re.escape(f'{shape}')}"
    ):
        SlotAttention(3, 4, 8, 16)(np.zeros((2, 5, 6)), initial_slots=np.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 4), (1, 5), (2, 5, 1), (5,)])
def test_rejects_a_mask_of_another_shape(shape):
    received = re.escape(f"Received: mask.shape={shape}")
    with pytest.raises(ValueError, match=rf"shape \[2, 5\].*{received}"):
        SlotAttention(3, 4, 8, 16)(np.zeros((2, 5, 6)), mask=np.ones(shape, bool))


def test_rejects_contradicting_numbers_of_slots():
    with pytest.raises(ValueError, match=r"num_slots=5.*\(1, 4, 8\)"):
        SlotAttention(3, 4, 8, 16)(
            np.zeros((1, 5, 6)), num_slots=5, initial_slots=np.zeros((1, 4, 8))
        )


def test_a_graph_takes_any_number_of_initial_slots(rng):
    layer = randomised_layer(rng, 2, 3, 8, 16)
    inputs = rng.normal(size=(2, 10, 6)).astype("float32")
    call = tf.function(
        lambda initial, **kwargs: layer(inputs, initial_slots=initial, **kwargs)
    )
    any_number = tf.TensorSpec((2, None, 8))
    for kwargs in ({}, {"num_slots": 5}):
        initial = rng.normal(size=(2, 5, 8)).astype("float32")
        graph = call.get_concrete_function(any_number, **kwargs)
        np.testing.assert_allclose(
            graph(tf.constant(initial)), layer(inputs, initial_slots=initial), atol=1e-5
        )
