"""Leaving the package: SavedModels for other programs."""

from slot_attention_tf.export.saved_model import export_saved_model, load_saved_model

__all__ = ["export_saved_model", "load_saved_model"]
