"""Writes slots, masks and scores of many images to one file.

    slot-attention-extract --model=runs/discovery --out=slots.npz
    slot-attention-extract PHOTOS... --model=model.keras --out=slots.npz

For models that take slots as input. The images are photos (files or folders), or the
dataset of the run or preset that --model names. Row i of every array is image i:

    slots         float32 [N, K, D]
    masks         float16 [N, K, H, W]; --nomasks leaves them out
    fg_ari, ...   [N], scores of each image, of datasets with labels
    predictions   float32 [N, K, P], instead of these by models that predict sets,
    target        float32 [N, M, P], and the truth
    files         names of the photos
"""

from pathlib import Path

from absl import flags

from slot_attention_tf.commands import as_integer, define, run_command
from slot_attention_tf.environment import prepare_environment

FLAGS = flags.FLAGS


def main():
    """Runs `slot-attention-extract`."""
    prepare_environment()
    define("out", None, "The file, *.npz.")
    define("model", None, "Run folder, file *.keras, or preset.")
    define("dataset", None, "Another dataset than the run's, as <name>/<config>.")
    define("data_dir", None, "Folder of all datasets. Default: TFDS's.")
    define("split", None, "Another split than the task's.")
    define("num_scenes", None, "Number of scenes. Default: all.", parse=as_integer)
    define("batch_size", 32, "Images at a time.", parse=as_integer)
    define("num_slots", None, "Slots, if not the model's.", parse=as_integer)
    define("num_iterations", None, "Iterations, if not the model's.", parse=as_integer)
    define("seed", 0, "Seed of the random starts.")
    define("masks", True, "Keep the masks, which take most of the space.")
    define("overwrite", False, "Replace a file that is there.")
    run_command(_extract, usage=__doc__)


def _extract(photos):
    import numpy as np

    from slot_attention_tf.commands.photos import load_model

    if FLAGS.model is None or not str(FLAGS.out).endswith(".npz"):
        raise ValueError(
            "Give a model and a file: --model=MODEL --out=FILE.npz. "
            f"Received: --model={FLAGS.model}, --out={FLAGS.out}"
        )
    out = Path(FLAGS.out)
    if out.exists() and not FLAGS.overwrite:
        raise ValueError(f"{out} is there already: give another --out, or --overwrite.")
    loaded = load_model(FLAGS.model)
    names, dataset = _photos(loaded, photos) if photos else ({}, _dataset(loaded))
    arrays = loaded.task.extract(
        loaded.model,
        dataset,
        FLAGS.seed,
        num_slots=FLAGS.num_slots,
        num_iterations=FLAGS.num_iterations,
    )
    if not FLAGS.masks:
        arrays.pop("masks", None)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, **names, **arrays)
    for name, array in arrays.items():
        print(f"{name}: {array.dtype} {list(array.shape)}")
    print(f"Written: {out}")


def _photos(loaded, photos):
    """Names of photos, and their dataset."""
    import numpy as np
    import tensorflow as tf

    from slot_attention_tf.commands.photos import as_input, find_photos, read_photo

    files = find_photos(photos)
    images = np.stack([as_input(read_photo(file), loaded) for file in files])
    dataset = tf.data.Dataset.from_tensor_slices({"image": images})
    return {"files": [str(file) for file in files]}, dataset.batch(FLAGS.batch_size)


def _dataset(loaded):
    """The dataset that the flags name, as the model was trained on it."""
    import dataclasses

    if loaded.preset is None:
        raise ValueError(
            "A file *.keras does not say what data it was trained on: give photos, or "
            f"the folder of its run as --model. Received: --model={FLAGS.model}"
        )
    from slot_attention_tf.data.decoding import has_label_map
    from slot_attention_tf.data.prepare import open_prepared

    preset, options = loaded.preset, {}
    if FLAGS.dataset is not None:
        preset = dataclasses.replace(preset, dataset=FLAGS.dataset)
    if loaded.task.name == "discovery":  # Without labels there are no scores.
        builder = open_prepared(preset.dataset, FLAGS.data_dir)
        options["labels"] = has_label_map(builder)
    return loaded.task.open_dataset(
        preset,
        FLAGS.split or loaded.task.test_split,
        FLAGS.data_dir,
        batch_size=FLAGS.batch_size,
        num_scenes=FLAGS.num_scenes,
        **options,
    )
