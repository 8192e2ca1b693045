"""The reference release's names and checkpoints, kept for compatibility."""

from slot_attention_tf.reference.checkpoint import load_reference_checkpoint
from slot_attention_tf.reference.names import build_model, unstack_and_split

__all__ = ["build_model", "load_reference_checkpoint", "unstack_and_split"]
