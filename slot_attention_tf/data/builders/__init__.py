"""TFDS builders, one dataset per file. Importing this package registers them."""

from slot_attention_tf.data.builders.base import SceneBuilder, SceneConfig
from slot_attention_tf.data.builders.clevr_with_masks import (
    ClevrWithMasks,
    ClevrWithMasksConfig,
)
from slot_attention_tf.data.builders.multi_dsprites import (
    MultiDSprites,
    MultiDSpritesConfig,
)
from slot_attention_tf.data.builders.objects_room import ObjectsRoom, ObjectsRoomConfig
from slot_attention_tf.data.builders.rendered_clevr import RenderedClevr
from slot_attention_tf.data.builders.synthetic_clevr import (
    SyntheticClevr,
    SyntheticClevrConfig,
)
from slot_attention_tf.data.builders.tetrominoes import Tetrominoes, TetrominoesConfig

__all__ = [
    "ClevrWithMasks",
    "ClevrWithMasksConfig",
    "MultiDSprites",
    "MultiDSpritesConfig",
    "ObjectsRoom",
    "ObjectsRoomConfig",
    "RenderedClevr",
    "SceneBuilder",
    "SceneConfig",
    "SyntheticClevr",
    "SyntheticClevrConfig",
    "Tetrominoes",
    "TetrominoesConfig",
]
