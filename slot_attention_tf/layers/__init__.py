"""Keras layers: Slot Attention, the Slot MLP, and the parts of the models."""

from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.mix_slots import mix_slots
from slot_attention_tf.layers.pixel_mlp_decoder import PixelMLPDecoder
from slot_attention_tf.layers.slot_attention import SlotAttention
from slot_attention_tf.layers.slot_initializer import SlotInitializer
from slot_attention_tf.layers.slot_mlp import SlotMLP
from slot_attention_tf.layers.soft_position_embed import (
    SoftPositionEmbed,
    build_grid,
    spatial_broadcast,
    spatial_flatten,
)
from slot_attention_tf.layers.spatial_broadcast_decoder import SpatialBroadcastDecoder

__all__ = [
    "ConvEncoder",
    "PixelMLPDecoder",
    "SlotAttention",
    "SlotInitializer",
    "SlotMLP",
    "SoftPositionEmbed",
    "SpatialBroadcastDecoder",
    "build_grid",
    "mix_slots",
    "spatial_broadcast",
    "spatial_flatten",
]
