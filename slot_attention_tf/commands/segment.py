"""Segments photos by a model that finds objects.

    slot-attention-segment PHOTOS... --out=DIR --model=runs/discovery

PHOTOS are files or folders. The model is the folder of a run, a file *.keras, or a
preset whose weights come with the package. Photos are squeezed to the model's size;
what is written has the photo's. For NAME.jpg that is

    NAME_segmentation.png   numbers of slots, with a palette
    NAME_overlay.png        the photo under the colours of its slots
    NAME_slot_K.png         the mask of each slot, from black to white

Masks of a photo depend on --seed alone, not on the other photos.
"""

from pathlib import Path

from absl import flags

from slot_attention_tf.commands import as_integer, define, run_command
from slot_attention_tf.environment import prepare_environment

FLAGS = flags.FLAGS
_OPACITY = 0.5  # Of the colours on the photo.


def main():
    """Runs `slot-attention-segment`."""
    prepare_environment()
    define("out", None, "Folder of the pictures.")
    define("model", "tetrominoes_cpu", "Run folder, file *.keras, or preset.")
    define("num_slots", None, "Slots, if not the model's.", parse=as_integer)
    define("num_iterations", None, "Iterations, if not the model's.", parse=as_integer)
    define("seed", 0, "Seed of the random start.")
    define("overwrite", False, "Replace pictures that are there.")
    run_command(_segment, usage=__doc__)


def _segment(photos):
    from slot_attention_tf.commands.photos import PhotoError, find_photos, load_model

    if not photos or FLAGS.out is None:
        raise ValueError(
            "Give photos and a folder: slot-attention-segment PHOTOS... --out=DIR. "
            f"Received: {len(photos)} photos, --out={FLAGS.out}"
        )
    files = find_photos(photos)
    loaded = load_model(FLAGS.model)
    if loaded.task.name != "discovery":
        raise ValueError(
            "--model must be a model that finds objects, with masks. Received: "
            f"--model={FLAGS.model}, a {type(loaded.model).__name__}"
        )
    pictures = _names(files, FLAGS.num_slots or loaded.model.num_slots)
    unreadable = []
    for file, paths in pictures.items():
        try:
            _segment_one(loaded, file, paths)
        except PhotoError as error:
            unreadable.append(str(error))
    print(f"Pictures: {FLAGS.out}")
    if unreadable:
        raise ValueError("; ".join(unreadable))


def _names(files, num_slots):
    """Paths of the pictures of each photo; nothing is written over.

    Returns:
        Dictionary from file to list of paths: segmentation, overlay, slots.
    """
    kinds = ["segmentation", "overlay", *(f"slot_{k}" for k in range(num_slots))]
    folder = Path(FLAGS.out)
    pictures = {
        file: [folder / f"{file.stem}_{k}.png" for k in kinds] for file in files
    }
    taken = {}
    for file, (first, *_) in pictures.items():
        if first in taken:
            raise ValueError(
                f"{taken[first]} and {file} would get pictures of the same names: "
                "rename one, or give them another --out."
            )
        taken[first] = file
    there = [path for paths in pictures.values() for path in paths if path.exists()]
    if there and not FLAGS.overwrite:
        raise ValueError(
            f"{len(there)} pictures are there already, such as {there[0]}: give "
            "another --out, or --overwrite."
        )
    return pictures


def _segment_one(loaded, file, paths):
    """Writes the pictures of one photo."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from slot_attention_tf.commands.photos import as_input, read_photo
    from slot_attention_tf.tasks.task import predict
    from slot_attention_tf.visualization import slot_palette

    photo = read_photo(file)
    image = tf.data.Dataset.from_tensors({"image": as_input(photo, loaded)[None]})
    options = {"num_slots": FLAGS.num_slots, "num_iterations": FLAGS.num_iterations}
    (outputs,) = predict(loaded.model, image, FLAGS.seed, **options)
    masks = outputs["masks"][0, ..., 0].astype("float32")  # [K, h, w]
    # Masks are enlarged before the argmax: its borders are then smooth.
    masks = [
        Image.fromarray(mask).resize(photo.size, Image.Resampling.BILINEAR)
        for mask in masks
    ]
    masks = np.stack([np.asarray(mask) for mask in masks])  # [K, H, W]
    labels = masks.argmax(axis=0).astype("uint8")
    palette = slot_palette(len(masks))
    segmentation = Image.fromarray(labels)
    segmentation.putpalette(palette.tobytes())
    overlay = Image.blend(photo, Image.fromarray(palette[labels]), _OPACITY)
    slots = np.rint(255 * masks.clip(0, 1)).astype("uint8")
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    pictures = (segmentation, overlay, *map(Image.fromarray, slots))
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    print(f"{file}: {len(np.unique(labels))} of {len(masks)} slots in use")
