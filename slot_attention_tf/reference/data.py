"""The release's pipeline of CLEVR, by its names and in its order of examples."""

from slot_attention_tf.clevr_properties import CROP
from slot_attention_tf.data import clevr
from slot_attention_tf.data.prepare import open_prepared

# Still encoded, some 100 kB each.
_SHUFFLE_BUFFER = 2_000


def preprocess_clevr(
    features, resolution, apply_crop=False, get_properties=True, max_n_objects=10
):
    """Makes the input and the target of a model from one example of CLEVR.

    Args:
        features: Dict with `image`, uint8 `[height, width, 3]`, and `objects`, a dict
            of `3d_coords` float32 `[n, 3]` and the class labels `size`, `material`,
            `shape` and `color`, `[n]` each, in the order of TFDS.
        resolution: Tuple of integers, height and width to resize the image to.
        apply_crop: Boolean, whether to cut out rows 29 to 221 and columns 64 to 256
            before, which is the centre of images of 240x320.
        get_properties: Boolean, whether to make the target.
        max_n_objects: Integer >= n, the number of rows of the target.

    Returns:
        A dict: `image` float32 `[*resolution, 3]` in `[-1, 1]`, and with properties
        `target` float32 `[max_n_objects, 19]`: coordinates as (xyz + 3) / 6, one-hot
        size (2), material (2), shape (3) and colour (8), and 1; rows without an
        object are zero.
    """
    image = clevr.to_float(features["image"])
    if apply_crop:
        top, bottom, left, right = CROP
        image = image[top:bottom, left:right]
    result = {"image": clevr.resize(image, resolution)}
    if get_properties:
        result["target"] = clevr.set_targets(features["objects"], max_n_objects)
    return result


def build_clevr(
    split,
    resolution=(128, 128),
    shuffle=False,
    max_n_objects=10,
    num_eval_examples=512,
    get_properties=True,
    apply_crop=False,
    name="clevr:3.1.0",
    data_dir=None,
):
    """Makes a dataset of single examples; see `preprocess_clevr`.

    Differs from the reference release: `shuffle` shuffles examples, not only files.

    Args:
        split: String. `"train_eval"` is the first examples of the training split, for
            scores during training, and `"train"` is the rest; `"validation"` and
            `"test"` are those of the dataset.
        resolution: Tuple of integers, height and width of the images.
        shuffle: Boolean, whether to shuffle, anew in every iteration.
        max_n_objects: Integer, scenes with more objects are left out.
        num_eval_examples: Integer, the number of examples of `"train_eval"`.
        get_properties: Boolean, whether to make targets.
        apply_crop: Boolean, see `preprocess_clevr`.
        name: String, a prepared dataset: TFDS's CLEVR or `"synthetic_clevr/<config>"`.
        data_dir: Path of the directory of all datasets; `None` means that of TFDS.

    Returns:
        A `tf.data.Dataset` of dicts as `preprocess_clevr` returns.

    Raises:
        FileNotFoundError: The dataset was not prepared; names the command to run.
        ValueError: There is no such split.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder = open_prepared(name, data_dir)
    known = {*builder.info.splits, "train_eval"}
    if split not in known:
        raise ValueError(
            f"The splits of {name!r} are {sorted(known)}. Received: split={split!r}"
        )
    # In the order of `tfds.load`, so that "train_eval" is what the release takes; the
    # images are decoded last, or else skipping would cost as much as reading.
    examples = builder.as_dataset(
        split="train" if split == "train_eval" else split,
        shuffle_files=shuffle and split == "train",
        decoders={
            key: tfds.decode.SkipDecoding()
            for key in ("image", "segmentation")
            if key in builder.info.features
        },
        read_config=tfds.ReadConfig(try_autocache=False, enable_ordering_guard=False),
    )
    if split == "train":
        examples = examples.skip(num_eval_examples)
    elif split == "train_eval":
        examples = examples.take(num_eval_examples)
    examples = examples.filter(
        lambda features: tf.shape(features["objects"]["3d_coords"])[0] <= max_n_objects
    )
    if shuffle:
        examples = examples.shuffle(_SHUFFLE_BUFFER)
    image = builder.info.features["image"]

    def preprocess(features):
        features["image"] = image.decode_example(features["image"])
        return preprocess_clevr(
            features, resolution, apply_crop, get_properties, max_n_objects
        )

    examples = examples.map(preprocess, tf.data.AUTOTUNE, deterministic=True)
    return examples.prefetch(tf.data.AUTOTUNE)


def build_clevr_iterator(batch_size, split, **kwargs):
    """Makes an endless iterator over full batches.

    Args:
        batch_size: Integer >= 1.
        split: String, see `build_clevr`.
        **kwargs: Passed on to `build_clevr`.

    Returns:
        An iterator over dicts of tensors with a batch axis.
    """
    import tensorflow as tf

    batches = build_clevr(split=split, **kwargs).repeat()
    batches = batches.batch(batch_size, drop_remainder=True)
    return iter(batches.prefetch(tf.data.AUTOTUNE))
