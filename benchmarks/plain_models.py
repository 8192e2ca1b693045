"""The models as the paper writes them down, to measure ours against.

Every input has a key and a value, every slot is copied to the full grid, every layer of
a decoder is a transposed convolution at full size, and masks are a softmax over axis 1:
what the reference release computes. The sizes are those of our models.
"""

import keras
from keras import ops

import slot_attention_tf as sa
from slot_attention_tf.layers.soft_position_embed import (
    merge_patches,
    spatial_broadcast,
)


class PlainSlotAttention(sa.SlotAttention):
    """Algorithm 1 with keys and values of all inputs."""

    def call(self, inputs, return_attention=False, **options):
        inputs = self.norm_inputs(inputs)
        slots = initial = self.slot_initializer(inputs, num_slots=self.num_slots)
        slots = initial = ops.cast(initial, self.compute_dtype)
        keys = ops.matmul(inputs, ops.cast(self.project_k.kernel, inputs.dtype))
        values = self.project_v(inputs)
        attention = None
        for iteration in range(self.num_iterations):
            if self.implicit_differentiation and iteration == self.num_iterations - 1:
                slots = ops.stop_gradient(slots - initial) + initial
            queries = self.project_q(self.norm_slots(slots)) * self.slot_size**-0.5
            logits = ops.einsum("bnd,bkd->bnk", keys, queries)
            attention = ops.softmax(ops.cast(logits, "float32"), axis=-1)
            weights = attention + self.epsilon
            weights = weights / ops.sum(weights, axis=1, keepdims=True)
            weights = ops.cast(weights, values.dtype)
            updates = ops.einsum("bnk,bnd->bkd", weights, values)
            slots = self._gru(updates, slots)
            slots = slots + self.mlp_output(self.mlp_hidden(self.norm_mlp(slots)))
        return (slots, attention[:, None]) if return_attention else slots


class PlainDecoder(keras.layers.Layer):
    """The spatial broadcast decoder as the reference release computes it."""

    def __init__(self, ours, **kwargs):
        super().__init__(name="plain_decoder", **kwargs)
        self.ours = ours
        policy = self.dtype_policy
        self.convs = [
            keras.layers.Conv2DTranspose(
                filters,
                kernel_size,
                stride,
                padding="same",
                activation="relu",
                dtype=policy,
            )
            for filters, kernel_size, stride in zip(
                ours.filters, ours.kernel_size, ours.strides, strict=True
            )
        ]
        self.output_conv = keras.layers.Conv2DTranspose(
            ours.patch_size**2 * (ours.num_channels + 1),
            ours.output_kernel_size,
            padding="same",
            dtype=policy,
        )

    def build(self, input_shape):
        shape = (None, *self.ours.broadcast_resolution, input_shape[-1])
        self.position = sa.SoftPositionEmbed(
            input_shape[-1], self.ours.broadcast_resolution, dtype=self.dtype_policy
        )
        self.position.build(shape)
        for conv in [*self.convs, self.output_conv]:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, slots):
        x = spatial_broadcast(slots, self.ours.broadcast_resolution)
        x = self.position(x)
        for conv in [*self.convs, self.output_conv]:
            x = conv(x)
        x = merge_patches(x, self.ours.patch_size)
        return ops.reshape(x, (-1, slots.shape[1], *x.shape[1:]))

    def compute_output_shape(self, input_shape):
        return self.ours.compute_output_shape(input_shape)


class PlainAutoEncoder(sa.SlotAttentionAutoEncoder):
    """The autoencoder with a plain mixture of slots."""

    def decode(self, slots):
        decoded = ops.cast(self.decoder(slots), "float32")
        recons, logits = decoded[..., :-1], decoded[..., -1:]
        masks = ops.softmax(logits, axis=1)
        return ops.sum(recons * masks, axis=1), recons, masks


def make_plain_model(task, preset, dtype):
    """The plain form of the model of a Slot Attention preset."""
    arguments = preset.model_arguments(dtype)
    attention = PlainSlotAttention(
        preset.num_iterations,
        preset.num_slots,
        preset.slot_size,
        preset.mlp_hidden_size,
        implicit_differentiation=preset.implicit_differentiation,
        dtype=dtype,
        name="slot_attention",
    )
    arguments.update(slot_attention=attention, dtype=dtype)
    if task != "discovery":
        return sa.SlotAttentionClassifier(**arguments)
    if not preset.pixel_decoder:  # A pixel decoder has no other form.
        arguments["decoder"] = PlainDecoder(arguments["decoder"], dtype=dtype)
    return PlainAutoEncoder(**arguments)
