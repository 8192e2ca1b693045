"""What the pictures of the paper show of a run, in a small file beside its row."""

import pathlib
import zipfile

import numpy as np

_KEYS = {
    "discovery": ("image", "reconstruction", "masks", "slot_images"),
    "set_prediction": ("image", "predictions", "target"),
}
# What a network makes is rounded: the eye sees no difference, and files are a third.
_COARSE = 5  # 52 levels.
_COARSEST = 17  # 16 levels, for masks.


def collect_examples(
    task, model, batch, seed=0, num_images=3, num_slots=None, num_iterations=None
):
    """Asks a trained model for what the pictures show. Needs TensorFlow.

    Each iteration `t` is a call with `num_iterations=t` from the same initial slots. A
    model without iterations has `T = 1`.

    Args:
        task: The `Task` of the model.
        model: The model.
        batch: Dictionary of arrays with `"image"`, float `[N, H, W, C]` in `[-1, 1]`,
            and for set prediction `"target"`, float `[N, M, 19]`.
        seed: Integer, the seed of the random starts.
        num_images: Integer, how many images of the batch to take.
        num_slots: Integer, slots if not the model's.
        num_iterations: Integer, iterations `T` if not the model's.

    Returns:
        Dictionary of uint8 arrays, for discovery `image` `[B, H, W, C]`,
        `reconstruction` `[B, T, H, W, C]`, `masks` `[B, T, K, H, W]` and, of the last
        iteration, `slot_images` `[B, K, H, W, C]`; for set prediction `image`, float16
        `predictions` `[B, K, 19]` and `target` `[B, M, 19]`. Models with attention add
        `attention` `[B, T, K, h, w]`.

    Example:

    ```python
    examples = collect_examples(find_task("discovery"), model, next(iter(dataset)))
    save_examples("results/discovery/clevr6_cpu/slot_attention_0.npz", examples)
    ```
    """
    images = np.asarray(batch["image"])[:num_images]
    count = num_iterations or getattr(model, "num_iterations", None)
    if task.name == "discovery":
        # The attention of the last call holds that of all iterations.
        times = [None] if count is None else range(1, count + 1)
        calls = [_call(model, images, seed, num_slots, time) for time in times]
        found = {
            "reconstruction": _pixels(
                np.stack([call["reconstruction"] for call in calls], axis=1), _COARSE
            ),
            "masks": _coarse_masks(
                np.stack([call["masks"][..., 0] for call in calls], axis=1)
            ),
            "slot_images": _pixels(calls[-1]["slot_images"], _COARSE),
        }
    else:
        calls = [_call(model, images, seed, num_slots, count)]
        found = {
            "predictions": calls[-1]["predictions"].astype("float16"),
            "target": np.asarray(batch["target"])[:num_images].astype("float16"),
        }
    if "attention" in calls[-1]:
        grid = model.encoder.feature_resolution
        found["attention"] = _levels(_on_grid(calls[-1]["attention"], grid))
    return {"image": _pixels(images), **found}


def save_examples(path, examples):
    """Writes examples as `.npz`, compressed; returns the path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **examples)
    return path


def load_examples(path, task_name):
    """Reads examples.

    Args:
        path: Path of a file that `save_examples` wrote.
        task_name: String, the task that the examples are of.

    Returns:
        Dictionary of arrays as `collect_examples` returns it.

    Raises:
        ValueError: If the file cannot be read, or lacks an array.
    """
    try:
        with np.load(path) as archive:
            examples = dict(archive)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no examples: delete it, or write it anew by `make paper`. "
            f"Received: {error}"
        ) from error
    missing = [key for key in _KEYS[task_name] if key not in examples]
    if missing:
        raise ValueError(
            f"{path} must hold {', '.join(_KEYS[task_name])}: write it anew by "
            f"`make paper`. Received: a file without {', '.join(missing)}"
        )
    return examples


def to_floats(pixels):
    """Pixels as the float images in `[-1, 1]` that figures take."""
    return pixels.astype("float32") / 127.5 - 1


def _call(model, images, seed, num_slots, num_iterations):
    import tensorflow as tf

    from slot_attention_tf.tasks.task import predict

    dataset = tf.data.Dataset.from_tensors({"image": images})
    options = {"num_slots": num_slots, "num_iterations": num_iterations}
    (outputs,) = predict(model, dataset, seed, **options)
    return {name: value.astype("float32") for name, value in outputs.items()}


def _on_grid(attention, grid):
    """Attention `[B, T, N, K]` as maps `[B, T, K, h, w]`."""
    num_images, num_iterations, _, num_slots = attention.shape
    maps = attention.reshape(num_images, num_iterations, *grid, num_slots)
    return np.moveaxis(maps, -1, 2)


def _coarse_masks(masks):
    """Masks `[B, T, K, H, W]` as uint8; the largest of a pixel stays the largest."""
    levels = _levels(masks, _COARSEST).astype("int16")
    winner = masks.argmax(axis=2)[:, :, None]
    most = np.take_along_axis(levels, winner, axis=2).clip(min=_COARSEST)
    levels = np.minimum(levels, most - _COARSEST)
    np.put_along_axis(levels, winner, most, axis=2)
    return levels.astype("uint8")


def _pixels(images, step=1):
    """Values in `[-1, 1]` as uint8."""
    return _levels((images + 1) / 2, step)


def _levels(shares, step=1):
    """Values in `[0, 1]` as uint8, rounded to multiples of a divisor of 255."""
    shares = np.clip(np.nan_to_num(shares), 0, 1)
    return (np.rint(shares * (255 // step)) * step).astype("uint8")
