"""Tetrominoes: three Tetris pieces on black, 35x35."""

import dataclasses
from typing import ClassVar

from slot_attention_tf.data import records
from slot_attention_tf.data.builders import base
from slot_attention_tf.data.generators import tetrominoes

_FACTORS = {
    "visibility": (tetrominoes.MAX_NUM_ENTITIES,),
    "shape": (tetrominoes.MAX_NUM_ENTITIES,),
    "color": (tetrominoes.MAX_NUM_ENTITIES, 3),
    "x": (tetrominoes.MAX_NUM_ENTITIES,),
    "y": (tetrominoes.MAX_NUM_ENTITIES,),
}


@dataclasses.dataclass(eq=False)
class TetrominoesConfig(base.SceneConfig):
    """Configuration of `tetrominoes`; by default the split of the papers.

    Args: as `SceneConfig`.
    """

    num_train: int = 60_000
    num_test: int = 320


class Tetrominoes(base.SceneBuilder):
    """TFDS builder of Tetrominoes, from the public file or generated.

    Config `real` converts the first 60,320 records of the public file (Kabra et al.,
    Multi-Object Datasets, 2019), the first 60,000 of them for training; `synthetic`
    draws as many scenes with `slot_attention_tf.data.generators.tetrominoes`.

    Example:

    ```python
    import tensorflow_datasets as tfds
    import slot_attention_tf.data
    from slot_attention_tf.data.builders import TetrominoesConfig

    dataset = tfds.load("tetrominoes/synthetic", split="train")
    builder = tfds.builder(
        "tetrominoes", config=TetrominoesConfig(name="tiny", num_train=100)
    )
    ```
    """

    VERSION = "1.0.0"
    BUILDER_CONFIGS: ClassVar = [
        TetrominoesConfig(name="synthetic", source=base.SYNTHETIC),
        TetrominoesConfig(name="real", source=base.REAL),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "synthetic"
    DESCRIPTION = "Three Tetris pieces of six colours on black, with label maps."

    def _features(self):
        return base.entity_features(tetrominoes.RESOLUTION, 3, _FACTORS)

    def _draw_scene(self):
        return tetrominoes.draw_scene, {}

    def _public_file(self):
        return "tetrominoes/tetrominoes_train.tfrecords"

    def _record_format(self, file):
        return records.RecordFormat(
            bytes_features={
                "image": (*tetrominoes.RESOLUTION, 3),
                "mask": (tetrominoes.MAX_NUM_ENTITIES, *tetrominoes.RESOLUTION, 1),
            },
            float_features=_FACTORS,
        )
