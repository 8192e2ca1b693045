"""CLEVR with masks: 3 to 10 cubes, spheres and cylinders, 240x320."""

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from slot_attention_tf.clevr_properties import CATEGORIES
from slot_attention_tf.data import records
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import clevr

RESOLUTION = (240, 320)
NONE = "none"

# What the integers of the public file mean; 0 is the background or no object. Sizes
# were checked against the images. The others are inferred: they follow the order of
# CLEVR's properties.json, and nobody published them. `ClevrWithMasksConfig` takes
# another table as `code_names`.
CODE_NAMES = {
    "size": {1: "large", 2: "small"},
    "material": {1: "rubber", 2: "metal"},
    "shape": {1: "cube", 2: "sphere", 3: "cylinder"},
    "color": {
        **{1: "gray", 2: "red", 3: "blue", 4: "green"},
        **{5: "brown", 6: "purple", 7: "cyan", 8: "yellow"},
    },
}

_E = clevr.MAX_NUM_ENTITIES
_FACTORS = {
    "visibility": (_E,),
    "x": (_E,),
    "y": (_E,),
    "z": (_E,),
    "rotation": (_E,),
    "pixel_coords": (_E, 3),
}


@dataclasses.dataclass(eq=False)
class ClevrWithMasksConfig(base.SceneConfig):
    """Configuration of `clevr_with_masks`; by default the split of the papers.

    The paper scores 320 test images of at most six objects (CLEVR6). Half of all
    scenes have more, so 1,000 test scenes are kept, and the input pipeline takes 320
    after the filter.

    Args: as `SceneConfig`, and
        min_objects: Integer >= 1, the least number of objects in `synthetic`.
        max_objects: Integer <= 10, the largest number of objects in `synthetic`.
        height: Integer, the height of the images; 240 for `real`.
        width: Integer, the width of the images; 320 for `real`.
        cropped: Boolean, whether `synthetic` draws only the centre of the frame that
            the papers crop to. An object may then lie outside of the image.
        code_names: Dict, replaces entries of `CODE_NAMES` for `real`.
    """

    num_train: int = 70_000
    num_test: int = 1_000
    min_objects: int = clevr.MIN_NUM_OBJECTS
    max_objects: int = clevr.MAX_NUM_OBJECTS
    height: int = RESOLUTION[0]
    width: int = RESOLUTION[1]
    cropped: bool = False
    code_names: dict | None = None

    def __post_init__(self):
        super().__post_init__()
        form = (self.height, self.width, self.cropped)
        if self.source == base.REAL and form != (*RESOLUTION, False):
            raise ValueError(
                "`height`, `width` and `cropped` are for synthetic scenes; the input "
                "pipelines crop and resize real ones. Received: "
                f"height={self.height}, width={self.width}, cropped={self.cropped}"
            )
        for name, table in (self.code_names or {}).items():
            if name not in CATEGORIES or set(table.values()) != set(CATEGORIES[name]):
                raise ValueError(
                    "`code_names` must map the codes of each property it has to all "
                    f"of its names, {CATEGORIES}. Received: {name!r}: {table}"
                )


class ClevrWithMasks(base.SceneBuilder):
    """TFDS builder of CLEVR with masks, from the public file or generated.

    Config `real` converts the first 71,000 records of the public file (Kabra et al.,
    Multi-Object Datasets, 2019), the first 70,000 of them for training; `synthetic`
    draws as many scenes with `slot_attention_tf.data.generators.clevr`, on all cores:
    hours on a laptop. `laptop` draws CLEVR6 for a CPU: 10,000 training and 320 test
    scenes of three to six objects, at 64x64 and cropped as in the papers. `laptop10`
    has 320 test scenes of three to ten objects of that kind, for models that were
    trained on six (paper, Figure 2). Any other configuration can be made with
    `ClevrWithMasksConfig`.

    The properties `size`, `material`, `shape` and `color` are class labels with
    names, `none` for the background and for entities that are not there.
    """

    VERSION = "1.1.0"
    RELEASE_NOTES: ClassVar = {
        "1.0.0": "320 test scenes.",
        "1.1.0": "1,000 test scenes, the first 320 of them as before.",
    }
    BUILDER_CONFIGS: ClassVar = [
        ClevrWithMasksConfig(name="synthetic", source=base.SYNTHETIC),
        ClevrWithMasksConfig(name="real", source=base.REAL),
        ClevrWithMasksConfig(
            name="laptop",
            num_train=10_000,
            num_test=320,
            max_objects=6,
            height=64,
            width=64,
            cropped=True,
        ),
        ClevrWithMasksConfig(
            name="laptop10",
            num_train=320,
            num_test=320,
            height=64,
            width=64,
            cropped=True,
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "synthetic"
    DESCRIPTION = "CLEVR scenes of 3 to 10 objects with label maps."

    def _features(self):
        resolution = self.builder_config.height, self.builder_config.width
        features = base.entity_features(resolution, 3, _FACTORS)
        for name, values in CATEGORIES.items():
            label = tfds.features.ClassLabel(names=[NONE, *values])
            features[name] = tfds.features.Sequence(label, length=_E)
        return features

    def _draw_scene(self):
        config = self.builder_config
        return clevr.draw_scene, {
            "resolution": (config.height, config.width),
            "crop": clevr.CROP if config.cropped else None,
            "min_objects": config.min_objects,
            "max_objects": config.max_objects,
        }

    def _convert_drawn(self, scene):
        scene["x"], scene["y"], scene["z"] = scene.pop("3d_coords").T
        present = scene["visibility"] > 0
        present[0] = False
        for name in CATEGORIES:
            scene[name] = np.where(present, scene[name] + 1, 0).astype(np.int64)
        return scene

    def _public_file(self):
        return "clevr_with_masks/clevr_with_masks_train.tfrecords"

    def _record_format(self, file):
        return records.RecordFormat(
            bytes_features={
                "image": (*RESOLUTION, 3),
                "mask": (_E, *RESOLUTION, 1),
                **{name: (_E,) for name in CATEGORIES},
            },
            float_features=_FACTORS,
        )

    def _convert_record(self, record):
        tables = {**CODE_NAMES, **(self.builder_config.code_names or {})}
        for name, values in CATEGORIES.items():
            table = {0: 0}
            for code, value in tables[name].items():
                table[code] = 1 + values.index(value)
            codes = record[name].tolist()
            if not set(codes) <= set(table):
                raise records.RecordError(
                    f"the codes of {name!r} are {sorted(table)}. Received: {codes}. "
                    "`ClevrWithMasksConfig` takes other tables as `code_names`"
                )
            record[name] = np.array([table[code] for code in codes])
        return record
