"""Keras layers: Slot Attention, the Slot MLP, and the parts of the models."""

import keras  # noqa: F401  Before anything of this room: it registers all rooms.

from slot_attention_tf.layers.component_vae import ComponentVAE
from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.fixed_slot_initializer import FixedSlotInitializer
from slot_attention_tf.layers.fspool import FSPool, SetEncoder
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
from slot_attention_tf.layers.unet import UNet

__all__ = [
    "ComponentVAE",
    "ConvEncoder",
    "FSPool",
    "FixedSlotInitializer",
    "PixelMLPDecoder",
    "SetEncoder",
    "SlotAttention",
    "SlotInitializer",
    "SlotMLP",
    "SoftPositionEmbed",
    "SpatialBroadcastDecoder",
    "UNet",
    "build_grid",
    "mix_slots",
    "spatial_broadcast",
    "spatial_flatten",
]
