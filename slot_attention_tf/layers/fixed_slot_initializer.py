"""Initial slots that are the same in every call, for export to any format."""

import keras
from keras import ops

from slot_attention_tf.layers.arguments import check_positive
from slot_attention_tf.layers.slot_initializer import SlotInitializer


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class FixedSlotInitializer(SlotInitializer):
    """A `SlotInitializer` whose noise is drawn once and stored.

    All images and calls start from the same `num_slots` samples of the learned
    Gaussian. Nothing random is left, so a Keras model with `SlotAttention` inside has
    reproducible results, and `model.export` writes it in any format. ONNX and LiteRT
    cannot draw the random numbers of a `SlotInitializer`.

    The noise is a weight that is not trained. The weights file of a model that was
    trained with a `SlotInitializer` can be loaded; the noise then stays as it is.

    Differs from the learned slots of other work, where each slot has a mean of its own:
    here slots still share `mu` and `log_sigma`.

    Args:
        slot_size: Integer `D`, the size of a slot, at least 1.
        num_slots: Integer, the largest number of slots, at least 1. A call for fewer
            takes the first ones.
        seed: Optional integer, the seed of the noise.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `[B, ...]`. Only its batch size is used.
        num_slots: Integer `K`, at least 1 and not more than the layer's `num_slots`.
        noise: Optional tensor `[B, K, D]` to use instead of the stored noise.

    Returns:
        Slots `[B, K, D]` in the compute dtype.

    Raises:
        ValueError: If `num_slots` is not an integer from 1 to the layer's `num_slots`,
            or `noise` has another shape.

    Example:

    >>> initializer = FixedSlotInitializer(slot_size=64, num_slots=7, seed=0)
    >>> layer = SlotAttention(3, 7, 64, 128, slot_initializer=initializer)
    >>> inputs = keras.Input((100, 32))
    >>> model = keras.Model(inputs, layer(inputs))
    >>> features = np.ones((1, 100, 32))
    >>> bool(keras.ops.all(model(features) == model(features)))
    True
    """

    def __init__(self, slot_size, num_slots, seed=None, **kwargs):
        super().__init__(slot_size, seed=seed, **kwargs)
        self.num_slots = check_positive("num_slots", num_slots)

    def build(self, input_shape):
        super().build(input_shape)
        self.noise = self.add_weight(
            shape=(1, self.num_slots, self.slot_size),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="noise",
        )

    def call(self, inputs, num_slots, noise=None):
        num_slots = self._check_call(inputs, num_slots, noise)
        if noise is not None:
            return self.from_noise(noise)
        slots = self.from_noise(self.noise[:, :num_slots])  # [1, K, D]
        copies = ops.tile(slots, (ops.shape(inputs)[0], 1, 1))
        # Keras 3.10 forgets the shape of what it tiles.
        return ops.reshape(copies, (-1, num_slots, self.slot_size))  # [B, K, D]

    def _check_call(self, inputs, num_slots, noise):
        num_slots = super()._check_call(inputs, num_slots, noise)
        if noise is None and num_slots > self.num_slots:
            raise ValueError(
                f"This FixedSlotInitializer stores noise for {self.num_slots} slots: "
                f"build it for more, or pass `noise`. Received: num_slots={num_slots}"
            )
        return num_slots

    def load_own_variables(self, store):
        if "2" not in store.keys():  # noqa: SIM118  It is no dictionary.
            # Of a `SlotInitializer`, which stores no noise.
            store = {"0": store["0"], "1": store["1"], "2": self.noise}
        super().load_own_variables(store)

    def get_config(self):
        return {**super().get_config(), "num_slots": self.num_slots}
