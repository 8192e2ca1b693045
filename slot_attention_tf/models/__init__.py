"""The two models of the paper as Keras models."""

from slot_attention_tf.models.autoencoder import SlotAttentionAutoEncoder

__all__ = ["SlotAttentionAutoEncoder"]
