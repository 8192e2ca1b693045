"""TFDS builders, one dataset per file. Importing this package registers them."""

from slot_attention_tf.data.builders.base import SceneBuilder, SceneConfig
from slot_attention_tf.data.builders.tetrominoes import Tetrominoes, TetrominoesConfig

__all__ = ["SceneBuilder", "SceneConfig", "Tetrominoes", "TetrominoesConfig"]
