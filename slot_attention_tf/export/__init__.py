"""Leaving and entering the package: SavedModels and the release's checkpoints."""

from slot_attention_tf.export.reference_checkpoint import load_reference_checkpoint
from slot_attention_tf.export.saved_model import export_saved_model, load_saved_model

__all__ = ["export_saved_model", "load_reference_checkpoint", "load_saved_model"]
