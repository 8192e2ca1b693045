"""Generated CLEVR scenes for object discovery and for set prediction."""

import dataclasses
from typing import ClassVar

import numpy as np

from slot_attention_tf.clevr_properties import CATEGORIES
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import clevr, scenes

# Validation scenes come from the same stream as test scenes, far behind them.
_FIRST_VALIDATION_SCENE = 2**31


@dataclasses.dataclass(eq=False)
class SyntheticClevrConfig(base.SceneConfig):
    """Configuration of `synthetic_clevr`; by default as many scenes as CLEVR has.

    Args: as `SceneConfig`, always `synthetic`, and
        num_validation: Integer >= 1, the number of validation scenes.
        height: Integer, the height of the images.
        width: Integer, the width of the images. They show the whole frame of CLEVR,
            so that every object of the scene is in the image.
        min_objects: Integer >= 1, the least number of objects.
        max_objects: Integer <= 10, the largest number of objects.
    """

    num_train: int = 70_000
    num_validation: int = 15_000
    num_test: int = 15_000
    height: int = 128
    width: int = 128
    min_objects: int = clevr.MIN_NUM_OBJECTS
    max_objects: int = clevr.MAX_NUM_OBJECTS

    def __post_init__(self):
        super().__post_init__()
        if self.source != base.SYNTHETIC:
            raise ValueError(
                "`synthetic_clevr` is always generated; the real set is TFDS's "
                f"`clevr:3.1.0`. Received: source={self.source!r}"
            )
        if self.num_validation < 1:
            raise ValueError(
                "`num_validation` must be at least 1. "
                f"Received: num_validation={self.num_validation}"
            )


class SyntheticClevr(base.SceneBuilder):
    """TFDS builder of generated CLEVR scenes, with properties and with label maps.

    `image`, `file_name` and `objects` are as in TFDS's `clevr:3.1.0`, the same label
    order included, without questions; `segmentation` and `visibility` as in
    `clevr_with_masks`: object `i` of `objects` has the label `i + 1`.

    Configs: `synthetic` (128x128, 3 to 10 objects, 100,000 scenes), `laptop` (64x64, 1
    to 4 objects, 21,000 scenes) and `laptop10` (64x64, 3 to 10 objects, 22,000
    scenes); any other with `SyntheticClevrConfig`.
    """

    VERSION = "1.0.0"
    BUILDER_CONFIGS: ClassVar = [
        SyntheticClevrConfig(name="synthetic"),
        SyntheticClevrConfig(
            name="laptop",
            num_train=20_000,
            num_validation=500,
            num_test=500,
            height=64,
            width=64,
            min_objects=1,
            max_objects=4,
        ),
        SyntheticClevrConfig(
            name="laptop10",
            num_train=20_000,
            num_validation=1_000,
            num_test=1_000,
            height=64,
            width=64,
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "synthetic"
    DESCRIPTION = "Generated CLEVR scenes with properties of objects and label maps."
    CITATION = """@inproceedings{johnson2017clevr,
  title={CLEVR: A Diagnostic Dataset for Compositional Language and Elementary Visual
    Reasoning},
  author={Johnson, Justin and Hariharan, Bharath and van der Maaten, Laurens
    and Fei-Fei, Li and Zitnick, C. Lawrence and Girshick, Ross},
  booktitle={CVPR},
  year={2017}
}"""
    HOMEPAGE = "https://cs.stanford.edu/people/jcjohns/clevr/"

    def _features(self):
        config = self.builder_config
        return base.clevr_features((config.height, config.width))

    def _draw_scene(self):
        config = self.builder_config
        return clevr.draw_scene, {
            "resolution": (config.height, config.width),
            "crop": None,
            "min_objects": config.min_objects,
            "max_objects": config.max_objects,
        }

    def _synthetic_splits(self):
        splits = super()._synthetic_splits()
        splits["validation"] = {
            "num_scenes": self.builder_config.num_validation,
            "seed": scenes.held_out_seed(self.builder_config.seed),
            "first": _FIRST_VALIDATION_SCENE,
        }
        return splits

    def _convert_drawn(self, scene):
        end = 1 + self._count_objects(scene)
        objects = {}
        for name in (*CATEGORIES, "rotation", "3d_coords", "pixel_coords"):
            objects[name] = scene.pop(name)[1:end]
        for name in CATEGORIES:
            objects[name] = objects[name].astype(np.int64)
        return {**scene, "objects": objects}

    def _generate_examples(self, split, num_examples, examples):
        generated = super()._generate_examples(split, num_examples, examples)
        for i, (key, example) in enumerate(generated):
            yield key, {**example, "file_name": f"CLEVR_{split}_{i:06d}.png"}
