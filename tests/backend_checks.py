"""What must come out the same on every Keras backend: one function for all of them."""

import pathlib

import keras
import numpy as np

import slot_attention_tf as sa

RESOLUTION = (8, 6)
DECODERS = {
    "full_size": lambda: sa.SpatialBroadcastDecoder(
        RESOLUTION, 3, RESOLUTION, filters=(4,), strides=1
    ),
    "strided": lambda: sa.SpatialBroadcastDecoder(
        RESOLUTION, 3, (4, 3), filters=(4, 5), strides=(2, 1)
    ),
    "broadcast_patches": lambda: sa.SpatialBroadcastDecoder(
        RESOLUTION, 3, (4, 3), filters=(4,), strides=1, patch_size=2
    ),
    "pixel_mlp": lambda: sa.PixelMLPDecoder(RESOLUTION, hidden_sizes=(8,)),
    "patch_mlp": lambda: sa.PixelMLPDecoder(RESOLUTION, patch_size=2),
}


def write_inputs(folder, rng):
    """Writes models with random weights, and arrays to feed them."""
    keras.utils.set_random_seed(0)
    for name, model in _models().items():
        for weight in model.trainable_weights:
            noise = rng.normal(size=weight.shape, scale=0.1)  # Biases are not zero.
            weight.assign(weight + noise)
        model.save(folder / f"{name}.keras")
    np.savez(
        folder / "inputs.npz",
        images=rng.uniform(-1, 1, size=(4, *RESOLUTION, 3)).astype("float32"),
        slots=rng.normal(size=(4, 3, 8)).astype("float32"),
        mask=np.arange(12) < np.array([[12], [7], [3], [1]]),
        predictions=rng.uniform(size=(4, 5, 19)).astype("float32"),
        targets=rng.integers(0, 2, size=(4, 3, 19)).astype("float32"),
        true_labels=rng.integers(0, 4, size=(4, *RESOLUTION)),
        labels=rng.integers(0, 3, size=(4, *RESOLUTION)),
    )


def compute_outputs(folder):
    """Every result as an array, by name, on the backend of this process."""
    folder = pathlib.Path(folder)
    with np.load(folder / "inputs.npz") as arrays:
        data = dict(arrays)
    models = {
        file.stem: keras.saving.load_model(file)
        for file in sorted(folder.glob("*.keras"))
    }
    results = {**_forward(models, data), **_losses_and_metrics(data)}
    results |= _training_step(models["functional"], data)
    for name in ("autoencoder", "classifier"):
        _fit(name, models[name], data)
    return {name: keras.ops.convert_to_numpy(value) for name, value in results.items()}


def _models():
    encoder = {"filters": (4, 4), "strides": (2, 1)}
    initial = keras.Input((3, 8))
    mask = keras.Input((12,), dtype="bool")
    images = keras.Input((*RESOLUTION, 3))
    x = sa.ConvEncoder(RESOLUTION, append_colors=True, **encoder)(images)
    initializer = sa.SlotInitializer(8, trainable=False)  # Unused: slots are given.
    layer = sa.SlotAttention(3, 3, 8, 16, slot_initializer=initializer)
    x = layer(x, initial_slots=initial, mask=mask)
    outputs = [make()(x) for make in DECODERS.values()]
    return {
        "functional": keras.Model([images, initial, mask], outputs),
        "autoencoder": sa.SlotAttentionAutoEncoder(
            RESOLUTION,
            3,
            2,
            slot_size=8,
            encoder=sa.ConvEncoder(RESOLUTION, **encoder),
            decoder=DECODERS["pixel_mlp"](),
            implicit_differentiation=True,
        ),
        "classifier": sa.SlotAttentionClassifier(
            RESOLUTION, 3, 2, slot_size=8, encoder=sa.ConvEncoder(RESOLUTION, **encoder)
        ),
    }


def _forward(models, data):
    results = {}
    for name in ("autoencoder", "classifier"):
        outputs = models[name](
            data["images"], initial_slots=data["slots"], return_attention=True
        )
        results |= {f"{name}/{i}": output for i, output in enumerate(outputs)}
    outputs = models["functional"]([data["images"], data["slots"], data["mask"]])
    return results | dict(zip(DECODERS, outputs, strict=True))


def _losses_and_metrics(data):
    x, y = data["predictions"], data["targets"]
    return {
        "hungarian_huber_loss": sa.hungarian_huber_loss(x, y),
        "HungarianHuberLoss": sa.HungarianHuberLoss()(y, x),
        "l2_loss": sa.l2_loss(x[:, :3], y),
        "adjusted_rand_index": sa.adjusted_rand_index(
            data["true_labels"], data["labels"]
        ),
        "average_precision": np.array(
            [sa.average_precision_clevr(x, y, distance) for distance in (-1, 1.0)]
        ),
    }


def _training_step(model, data):
    """Weights after one step of gradient descent."""
    model.compile(keras.optimizers.SGD(0.1), loss=["mse"] * len(DECODERS))
    targets = [np.ones(output.shape[1:], "float32") for output in model.outputs]
    targets = [np.stack([target] * 4) for target in targets]
    before = _copies(model.trainable_weights)
    model.train_on_batch([data["images"], data["slots"], data["mask"]], targets)
    after = _copies(model.trainable_weights)
    _assert_changed(before, after)
    return {
        f"trained/{i}/{weight.path}": value
        for i, (weight, value) in enumerate(
            zip(model.trainable_weights, after, strict=True)
        )
    }


def _fit(name, model, data):
    """`fit` as a user calls it, with the backend's own random slots."""
    model.compile(keras.optimizers.SGD(0.1))
    before = _copies(model.trainable_weights)
    targets = [data["targets"]] if name == "classifier" else []
    history = model.fit(data["images"], *targets, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all(), name
    _assert_changed(before, _copies(model.trainable_weights))


def _assert_changed(before, after):
    """Most weights; some gradients of a tiny model vanish in rounding."""
    changed = [np.any(a != b) for a, b in zip(after, before, strict=True)]
    assert np.mean(changed) > 0.8


def _copies(weights):
    # PyTorch gives views of its memory.
    return [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
