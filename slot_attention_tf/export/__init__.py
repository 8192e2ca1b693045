"""Leaving the package: SavedModel, ONNX and LiteRT files for other programs."""

from slot_attention_tf.export.litert import export_litert
from slot_attention_tf.export.onnx import export_onnx
from slot_attention_tf.export.onnx_steps import export_onnx_steps
from slot_attention_tf.export.saved_model import export_saved_model, load_saved_model

__all__ = [
    "export_litert",
    "export_onnx",
    "export_onnx_steps",
    "export_saved_model",
    "load_saved_model",
]
