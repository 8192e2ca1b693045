"""Objects Room: solids in a coloured room under the sky, 64x64."""

import dataclasses
from typing import ClassVar

import numpy as np

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import objects_room, scenes

TEST_SETS = ("empty_room", "six_objects", "identical_color")
MAX_NUM_ENTITIES = max(v.max_num_entities for v in objects_room.VARIANTS.values())

# Every test set has its own part of the test stream.
_TEST_SET_STRIDE = 2**29


@dataclasses.dataclass(eq=False)
class ObjectsRoomConfig(base.SceneConfig):
    """Configuration of `objects_room`.

    Args: as `SceneConfig`, and
        num_test_set: Integer >= 1, the number of scenes of each published test set.
    """

    num_train: int = 60_000
    num_test: int = 320
    num_test_set: int = 922

    def __post_init__(self):
        super().__post_init__()
        if self.num_test_set < 1:
            raise ValueError(
                "`num_test_set` must be at least 1. "
                f"Received: num_test_set={self.num_test_set}"
            )


class ObjectsRoom(base.SceneBuilder):
    """TFDS builder of Objects Room, from the public files or generated.

    Splits: `train` and `test`, of one to three objects, and the published test sets
    `empty_room`, `six_objects` and `identical_color`. Config `real` converts the
    public files (Kabra et al., Multi-Object Datasets, 2019), `test` being the records
    that follow those for training; `synthetic` draws the scenes with
    `slot_attention_tf.data.generators.objects_room`.

    The labels 0 to 3 are all background: sky, floor and two halves of the wall. The
    input pipelines make them one. In `real` they are taken as they are stored; it is
    not known whether an object has number 3 where only one half of the wall shows.
    There are no other factors than `visibility`.
    """

    VERSION = "1.0.0"
    BUILDER_CONFIGS: ClassVar = [
        ObjectsRoomConfig(name="synthetic", source=base.SYNTHETIC),
        ObjectsRoomConfig(name="real", source=base.REAL),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "synthetic"
    DESCRIPTION = "Solids of one colour each in a coloured room, with label maps."
    NUM_BACKGROUND = objects_room.NUM_BACKGROUND

    def _features(self):
        factors = {"visibility": (MAX_NUM_ENTITIES,)}
        return base.entity_features(objects_room.RESOLUTION, 3, factors)

    def _draw_scene(self):
        return objects_room.draw_scene, {}

    def _synthetic_splits(self):
        config = self.builder_config
        splits = super()._synthetic_splits()
        for i, test_set in enumerate(TEST_SETS, 1):
            splits[test_set] = {
                "num_scenes": config.num_test_set,
                "seed": scenes.held_out_seed(config.seed),
                "first": i * _TEST_SET_STRIDE,
                "variant": test_set,
            }
        return splits

    def _convert_drawn(self, scene):
        visibility = np.zeros(MAX_NUM_ENTITIES, np.float32)
        visibility[: len(scene["visibility"])] = scene["visibility"]
        return {**scene, "visibility": visibility}

    # A record of the public files holds what a drawn scene does.
    _convert_record = _convert_drawn

    def _public_file(self):
        return "objects_room/objects_room_train.tfrecords"

    def _real_splits(self):
        files = super()._real_splits()
        for test_set in TEST_SETS:
            file = f"objects_room/objects_room_test_{test_set}.tfrecords"
            files[file] = {test_set: self.builder_config.num_test_set}
        return files

    def _record_format(self, file):
        variant = next((name for name in TEST_SETS if name in file), "train")
        entities = objects_room.VARIANTS[variant].max_num_entities
        return records.RecordFormat(
            bytes_features={
                "image": (*objects_room.RESOLUTION, 3),
                "mask": (entities, *objects_room.RESOLUTION, 1),
            },
            float_features={},
        )
