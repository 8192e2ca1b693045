"""CLEVR scenes from a folder of renderings with label maps, to evaluate on."""

import json
import pathlib
from typing import ClassVar

import numpy as np

from slot_attention_tf.clevr_properties import CATEGORIES
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import clevr

RESOLUTION = (240, 320)


class RenderedClevr(base.SceneBuilder):
    """TFDS builder of scenes that were rendered elsewhere, such as with Blender.

    Reads the folder `manual_dir`, which has three files for each scene: `NAME.png`, an
    RGB image of 240x320; `NAME_labels.png`, 0 for the background and `i` for object `i`
    from 1 on; and `NAME.json` as CLEVR's own, with `objects`: a list of dictionaries
    with `shape`, `color`, `material`, `size`, `3d_coords`, `rotation` and
    `pixel_coords`. All scenes, in the order of their names, are the split `test`. The
    features are those of `synthetic_clevr`.

    A model that was trained on generated scenes shows here how far it carries over:

    ```sh
    python -m slot_attention_tf.data.prepare rendered_clevr --manual_dir=FOLDER
    python eval/discovery.py --model_dir=RUN --dataset=rendered_clevr \\
        --crop=29,221,64,256
    ```
    """

    VERSION = "1.0.0"
    BUILDER_CONFIGS: ClassVar = [base.SceneConfig(name="folder", source=base.REAL)]
    DEFAULT_BUILDER_CONFIG_NAME = "folder"
    DESCRIPTION = "CLEVR scenes rendered elsewhere, with properties and label maps."

    def _features(self):
        return base.clevr_features(RESOLUTION)

    def _draw_scene(self):
        raise NotImplementedError("These scenes are read, not drawn.")

    def _real_splits(self):
        return {}  # There is no public file.

    def _make_splits(self, dl_manager):
        folder = pathlib.Path(self._manual_dir or "")
        scenes = sorted(folder.glob("*.json"))
        if self._manual_dir is None or not scenes:
            raise FileNotFoundError(
                "`rendered_clevr` reads scenes from a folder of NAME.png, "
                "NAME_labels.png and NAME.json: give it as --manual_dir. "
                f"Received: manual_dir={self._manual_dir}"
            )
        examples = map(_read_scene, scenes)
        return {"test": self._generate_examples("test", len(scenes), examples)}


def _read_scene(path):
    """The example of the scene that a JSON file describes."""
    described = json.loads(path.read_text("utf-8"))["objects"]
    labels = _read_png(path.with_name(f"{path.stem}_labels.png"), 1)
    count, largest = len(described), int(labels.max())
    if not 1 <= count <= clevr.MAX_NUM_OBJECTS or largest > count:
        raise ValueError(
            f"{path} must describe 1 to {clevr.MAX_NUM_OBJECTS} objects, all that its "
            f"label map shows. Received: {count} objects, labels up to {largest}"
        )
    names = ("rotation", "3d_coords", "pixel_coords")
    objects = {
        name: np.array([each[name] for each in described], "float32") for name in names
    }
    for name, values in CATEGORIES.items():
        objects[name] = np.array([values.index(each[name]) for each in described])
    visibility = np.zeros(clevr.MAX_NUM_ENTITIES, "float32")
    visibility[: 1 + count] = 1
    return {
        "image": _read_png(path.with_suffix(".png"), 3),
        "segmentation": labels,
        "visibility": visibility,
        "file_name": f"{path.stem}.png",
        "objects": objects,
    }


def _read_png(path, channels):
    """Pixels `[240, 320, channels]`."""

    import tensorflow as tf

    image = tf.io.decode_png(path.read_bytes(), channels).numpy()
    if image.shape[:2] != RESOLUTION:
        raise ValueError(
            f"{path} must be {RESOLUTION[0]} pixels high and {RESOLUTION[1]} wide. "
            f"Received: {image.shape[0]} x {image.shape[1]}"
        )
    return image
