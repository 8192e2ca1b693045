"""Set prediction: the Slot Attention classifier (paper, Section 3.2)."""

import keras
from keras import ops

from slot_attention_tf.clevr_properties import NUM_FEATURES
from slot_attention_tf.layers import ConvEncoder
from slot_attention_tf.layers.arguments import check_positive
from slot_attention_tf.losses.hungarian import HungarianHuberLoss
from slot_attention_tf.models.slot_model import SlotModel
from slot_attention_tf.set_prediction_presets import SET_PREDICTION_PRESETS


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class SlotAttentionClassifier(SlotModel):
    """Predicts the properties of every object of an image, as a set.

    Encodes an image to slots, then reads each slot by an MLP that all slots share.
    The order of the predictions means nothing, so `compile(optimizer=...)` and
    `fit(images, targets)` train by `HungarianHuberLoss`, which matches each target
    with one prediction.

    Args:
        resolution: Pair `(H, W)`, the size of the images.
        num_slots: Integer `K`, at least 1 and not less than the objects of an image.
        num_iterations: Integer `T`, at least 1.
        num_channels: Integer `C`, channels of the images.
        slot_size: Integer `D`, the size of a slot.
        mlp_hidden_size: Integer, hidden units of the residual MLP of the slots.
        num_properties: Integer `P`, numbers predicted for an object, each in (0, 1).
            Default: those of `clevr_properties`.
        head_hidden_size: Integer, hidden units of the MLP that reads a slot.
        implicit_differentiation: Boolean, see `SlotAttention`.
        encoder: Optional layer from images `[B, H, W, C]` to features `[B, N, F]`.
            Default: the paper's, with the strides 1, 2, 2, 1.
        seed: Optional integer, the seed of the initial slots.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`, any batch size.
        num_slots: Optional integer that replaces the model's `num_slots`.
        num_iterations: Optional integer that replaces the model's `num_iterations`.
        initial_slots: Optional tensor `[B, K, D]` to start from instead of samples.
        return_attention: Boolean. If `True`, the attention is returned as well.

    Returns:
        Predictions `[B, K, P]`, float32; with `return_attention=True` the tuple
        `(predictions, attention)`, attention `[B, T, N, K]` over the positions of the
        feature map, row by row.

    Example:

    >>> model = SlotAttentionClassifier((64, 64), num_slots=10, num_iterations=3)
    >>> model(np.zeros((2, 64, 64, 3))).shape
    (2, 10, 19)

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 3.2 and Appendix E.4; sizes as in the reference release.
    """

    def __init__(
        self,
        resolution,
        num_slots,
        num_iterations,
        num_channels=3,
        slot_size=64,
        mlp_hidden_size=128,
        num_properties=NUM_FEATURES,
        head_hidden_size=64,
        implicit_differentiation=False,
        encoder=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            resolution,
            num_slots,
            num_iterations,
            num_channels,
            slot_size,
            mlp_hidden_size,
            implicit_differentiation,
            encoder,
            seed,
            **kwargs,
        )
        check_positive("num_properties", num_properties)
        check_positive("head_hidden_size", head_hidden_size)
        self.num_properties = num_properties
        self.head_hidden_size = head_hidden_size
        policy = self.dtype_policy
        self.head_hidden = keras.layers.Dense(
            head_hidden_size, activation="relu", dtype=policy, name="head_hidden"
        )
        self.head_output = keras.layers.Dense(
            num_properties, dtype=policy, name="head_output"
        )
        # All sizes are known: a model has its weights from the start.
        self.build((None, *self.resolution, num_channels))

    def _default_encoder(self, **kwargs):
        return ConvEncoder(
            self.resolution, filters=(64, 64, 64, 64), strides=(1, 2, 2, 1), **kwargs
        )

    def build(self, input_shape):
        super().build(input_shape)
        self.head_hidden.build((None, None, self.slot_size))
        self.head_output.build((None, None, self.head_hidden_size))

    def call(
        self,
        images,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        return_attention=False,
    ):
        slots, attention = self._find_slots(
            images,
            num_slots=num_slots,
            num_iterations=num_iterations,
            initial_slots=initial_slots,
        )  # [B, K, D], [B, T, N, K]
        logits = self.head_output(self.head_hidden(slots))  # [B, K, P]
        # Half precision would round the confidences, which rank detections, to ties.
        logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
        predictions = ops.sigmoid(logits)
        return (predictions, attention) if return_attention else predictions

    def compile(self, optimizer="adam", loss=None, jit_compile="auto", **kwargs):
        """As `keras.Model.compile`; the default loss is `HungarianHuberLoss()`."""
        if jit_compile == "auto" and keras.backend.backend() == "tensorflow":
            # XLA on TensorFlow cannot compile the matching, which runs on the host.
            jit_compile = False
        super().compile(
            optimizer=optimizer,
            loss=HungarianHuberLoss() if loss is None else loss,
            jit_compile=jit_compile,
            **kwargs,
        )

    def get_config(self):
        config = {
            "num_properties": self.num_properties,
            "head_hidden_size": self.head_hidden_size,
        }
        return {**super().get_config(), **config}

    @classmethod
    def presets(cls):
        return SET_PREDICTION_PRESETS
