"""The reference release's networks in plain TensorFlow operations, and its checkpoints.

Written from its table of variables alone, without a layer of this package or of Keras.
Names are those of its checkpoints below `network/layer_with_weights-0`.
"""

import numpy as np
import tensorflow as tf

SIZE = 64
_DENSE = {"kernel": (SIZE, SIZE), "bias": (SIZE,)}
_NORM = {"gamma": (SIZE,), "beta": (SIZE,)}
_POSITION = {"kernel": (4, SIZE), "bias": (SIZE,)}


def _conv(inputs, outputs=SIZE, size=5):
    return {"kernel": (size, size, inputs, outputs), "bias": (outputs,)}


def shapes(kind):
    """Shapes of the variables of `"autoencoder"` or `"classifier"` by name."""
    layers = {
        "encoder_cnn/layer_with_weights-0": _conv(3),
        **{f"encoder_cnn/layer_with_weights-{i}": _conv(SIZE) for i in (1, 2, 3)},
        "encoder_pos/dense": _POSITION,
        "layer_norm": _NORM,
        "mlp/layer_with_weights-0": _DENSE,
        "mlp/layer_with_weights-1": _DENSE,
        "slot_attention": {
            "slots_mu": (1, 1, SIZE),
            "slots_log_sigma": (1, 1, SIZE),
        },
        **{f"slot_attention/project_{n}": {"kernel": (SIZE, SIZE)} for n in "qkv"},
        **{f"slot_attention/norm_{n}": _NORM for n in ("inputs", "slots", "mlp")},
        "slot_attention/gru": {
            "kernel": (SIZE, 3 * SIZE),
            "recurrent_kernel": (SIZE, 3 * SIZE),
            "bias": (2, 3 * SIZE),
        },
        "slot_attention/mlp/layer_with_weights-0": {
            "kernel": (SIZE, 128),
            "bias": (128,),
        },
        "slot_attention/mlp/layer_with_weights-1": {
            "kernel": (128, SIZE),
            "bias": (SIZE,),
        },
    }
    if kind == "classifier":
        layers["mlp_classifier/layer_with_weights-0"] = _DENSE
        layers["mlp_classifier/layer_with_weights-1"] = {
            "kernel": (SIZE, 19),
            "bias": (19,),
        }
    else:
        layers["decoder_pos/dense"] = _POSITION
        for i in range(5):
            layers[f"decoder_cnn/layer_with_weights-{i}"] = _conv(SIZE)
        # Transposed: [kh, kw, out, in].
        layers["decoder_cnn/layer_with_weights-5"] = {
            "kernel": (3, 3, 4, SIZE),
            "bias": (4,),
        }
    return {f"{n}/{v}": s for n, layer in layers.items() for v, s in layer.items()}


def random_values(rng, kind):
    """A value for every variable, of a size that keeps activations near one."""
    values = {}
    for name, shape in shapes(kind).items():
        fan_in = np.prod(shape[:-1]) / 2 if name.endswith("kernel") else 10.0
        if name.startswith("decoder_cnn"):
            fan_in /= 1.5  # A stride of 2 drops some taps.
        values[name] = rng.normal(size=shape, scale=fan_in**-0.5).astype("float32")
        if name.endswith("gamma"):
            values[name] += 1
    return values


def write_checkpoint(values, folder, optimizer=None, number=500):
    """Writes `values` as the release does; returns the path of the checkpoint.

    `optimizer`: None, or how Keras 2 laid out its variables: `"slots"` beside those
    of the network (until 2.10) or `"list"` of their own.
    """
    prefix = "network/layer_with_weights-0/"
    tensors = {prefix + name: value for name, value in values.items()}
    if optimizer == "list":
        for i, value in enumerate(values.values()):
            tensors[f"optimizer/_variables/{i}"] = np.ones_like(value)
    if optimizer == "slots":
        for name, value in values.items():
            for slot in "mv":
                key = f"{prefix}{name}/.OPTIMIZER_SLOT/optimizer/{slot}"
                tensors[key] = np.ones_like(value)
    tensors["global_step"] = np.int64(number)
    tensors["save_counter"] = np.int64(1)
    path = str(folder / f"ckpt-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    # The operation below tf.train.Checkpoint, which cannot be told the keys.
    part = f"{path}_temp"
    tf.raw_ops.SaveV2(
        prefix=part,
        tensor_names=[f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in tensors],
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(value) for value in tensors.values()],
    )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[part], destination_prefix=path, delete_old_dirs=False
    )
    return path


def autoencoder(values, images, slots, iterations):
    """`(recon_combined, recons, masks, slots)` from given initial slots."""
    slots = _slots(values, images, slots, iterations, strides=(1, 1, 1, 1))
    batch, k = slots.shape[:2]
    height, width = images.shape[1] // 16, images.shape[2] // 16
    x = tf.tile(tf.reshape(slots, (-1, 1, 1, SIZE)), (1, height, width, 1))
    x += _position(values, "decoder_pos", height, width)
    for i, stride in enumerate((2, 2, 2, 2, 1, 1)):
        w, b = _of(values, f"decoder_cnn/layer_with_weights-{i}")
        n, h, v, _ = x.shape
        shape = (n, h * stride, v * stride, w.shape[2])
        x = tf.nn.conv2d_transpose(x, w, shape, stride, "SAME") + b
        if i < 5:
            x = tf.nn.relu(x)
    x = tf.reshape(x, (batch, k, *images.shape[1:3], 4))
    recons, masks = x[..., :3], tf.nn.softmax(x[..., 3:], axis=1)
    return tf.reduce_sum(recons * masks, axis=1), recons, masks, slots


def classifier(values, images, slots, iterations):
    """Predictions `[B, K, 19]` from given initial slots."""
    slots = _slots(values, images, slots, iterations, strides=(1, 2, 2, 1))
    x = _mlp(values, "mlp_classifier", slots)
    return (tf.nn.sigmoid(x),)


def _slots(values, images, slots, iterations, strides):
    x = tf.constant(images)
    for i, stride in enumerate(strides):
        w, b = _of(values, f"encoder_cnn/layer_with_weights-{i}")
        x = tf.nn.relu(tf.nn.conv2d(x, w, stride, "SAME") + b)
    x += _position(values, "encoder_pos", *x.shape[1:3])
    x = tf.reshape(x, (x.shape[0], -1, SIZE))
    x = _norm(_mlp(values, "mlp", _norm(x, values, "layer_norm")), values, "inputs")
    keys, vals, queries = (values[f"slot_attention/project_{n}/kernel"] for n in "kvq")
    keys, vals = x @ keys, x @ vals
    for _ in range(iterations):
        q = _norm(slots, values, "slots") @ queries / np.float32(np.sqrt(SIZE))
        attention = tf.nn.softmax(tf.einsum("bnd,bkd->bnk", keys, q), axis=-1) + 1e-8
        attention /= tf.reduce_sum(attention, axis=1, keepdims=True)
        updates = tf.einsum("bnk,bnd->bkd", attention, vals)
        slots = _gru(values, updates, slots)
        slots += _mlp(values, "slot_attention/mlp", _norm(slots, values, "mlp"))
    return slots


def _gru(values, x, state):
    """The GRU whose reset gate comes after the recurrent product (Keras 2)."""
    name = "slot_attention/gru"
    bias = values[f"{name}/bias"]
    x = tf.split(x @ values[f"{name}/kernel"] + bias[0], 3, axis=-1)
    h = tf.split(state @ values[f"{name}/recurrent_kernel"] + bias[1], 3, axis=-1)
    update, reset = tf.sigmoid(x[0] + h[0]), tf.sigmoid(x[1] + h[1])
    return update * state + (1 - update) * tf.tanh(x[2] + reset * h[2])


def _of(values, name):
    return values[f"{name}/kernel"], values[f"{name}/bias"]


def _mlp(values, name, x):
    (w0, b0), (w1, b1) = (_of(values, f"{name}/layer_with_weights-{i}") for i in (0, 1))
    return tf.nn.relu(x @ w0 + b0) @ w1 + b1


def _norm(x, values, name):
    if name != "layer_norm":
        name = f"slot_attention/norm_{name}"
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    x = (x - mean) / tf.sqrt(variance + 1e-3)
    return x * values[f"{name}/gamma"] + values[f"{name}/beta"]


def _position(values, name, height, width):
    y, x = np.meshgrid(
        np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij"
    )
    grid = np.stack([y, x, 1 - y, 1 - x], axis=-1)[None].astype("float32")
    w, b = _of(values, f"{name}/dense")
    return grid @ w + b
