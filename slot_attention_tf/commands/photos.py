"""What the commands on photos share: finding files, reading them, loading a model."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageOps

from slot_attention_tf import pretrained
from slot_attention_tf.data.images import preprocess_images
from slot_attention_tf.models.registry import find_model, model_names
from slot_attention_tf.tasks import TASKS, Task, find_task, task_of
from slot_attention_tf.tasks.runs import load_run

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class PhotoError(ValueError):
    """A photo cannot be read."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model and what is known of it.

    Attributes:
        model: The model.
        task: Its `Task`.
        preset: The `Preset` that says what data it was trained on, or None.
    """

    model: object
    task: Task
    preset: object


def load_model(name):
    """Loads what `--model` says.

    Args:
        name: String: the folder of a run, a file `*.keras`, or the name of a preset
            whose weights come with the package.

    Returns:
        A `LoadedModel`.

    Raises:
        ValueError: If it is none of these.
    """
    path = Path(name)
    if path.is_dir():
        run = load_run(path, find_task)
        return LoadedModel(run.model, run.task, run.preset)
    if path.suffix == ".keras" and path.exists():
        model = keras.saving.load_model(path)
        return LoadedModel(model, task_of(model), None)
    shipped = _shipped()
    if name not in shipped:
        raise ValueError(
            "--model must be the folder of a run, a file *.keras, or a preset with "
            f"weights in this package: {', '.join(shipped)}. Received: --model={name}"
        )
    entry, preset, card = shipped[name]
    trained_on = json.loads(card.read_text("utf-8"))["dataset"]
    print(f"{name} was trained on {trained_on}, and knows nothing else.")
    model = entry.model_class.from_preset(preset)
    return LoadedModel(model, find_task(entry.task), entry.presets[preset])


def _shipped():
    """Model, preset and card of all weights that come with the package, by name.

    A preset alone means its Slot Attention; others are `"monet/tetrominoes_cpu"`.
    """
    found = {}
    for task in TASKS:
        for entry in (find_model(task, each) for each in model_names(task)):
            for preset in entry.presets:
                card = pretrained.card_file(entry.name, preset)
                own = entry.name == "slot_attention"
                if card.exists():
                    name = preset if own else f"{entry.name}/{preset}"
                    found[name] = (entry, preset, card)
    return found


def find_photos(paths):
    """Files of photos.

    Args:
        paths: List of files and folders.

    Returns:
        List of paths: the files as they are, and of a folder the files in it that are
        named like photos, in the order of their names.

    Raises:
        FileNotFoundError: If there is nothing at a path.
        ValueError: If a folder holds no photos.
    """
    files = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"There is no photo at {path}.")
        found = [path]
        if path.is_dir():
            found = sorted(f for f in path.iterdir() if f.suffix.lower() in _ENDINGS)
        if not found:
            raise ValueError(f"{path} holds no photos ({', '.join(_ENDINGS)}).")
        files += found
    return files


def read_photo(file):
    """Reads a photo, turned upright.

    Returns:
        A PIL image in RGB.

    Raises:
        PhotoError: If it cannot be read.
    """
    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{file} cannot be read as a photo: {error}") from error


def as_input(photo, loaded):
    """What a model takes of a photo, squeezed to its size.

    Args:
        photo: A PIL image in RGB.
        loaded: A `LoadedModel`. If it was trained without colours, the photo loses its.

    Returns:
        Float32 array `[H, W, C]`.
    """
    channels, pixels = loaded.model.num_channels, np.asarray(photo)
    if channels == 1 or getattr(loaded.preset, "grayscale", False):
        grey = np.asarray(photo.convert("L"))[..., None]
        pixels = np.repeat(grey, channels, axis=-1)
    images = preprocess_images(pixels, loaded.model.resolution)
    return keras.ops.convert_to_numpy(images)
