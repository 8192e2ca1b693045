"""Set prediction: the Slot Attention classifier (paper, Section 3.2)."""

import dataclasses

import keras
from keras import ops

from slot_attention_tf.clevr_properties import (
    NUM_FEATURES,
    decode_coords,
    feature_weights,
    group_slices,
)
from slot_attention_tf.layers.arguments import check_positive
from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.dense import Dense
from slot_attention_tf.losses.hungarian import (
    hungarian_huber_loss_per_example,
    pad_targets,
)
from slot_attention_tf.models.registry import register_model
from slot_attention_tf.models.slot_model import SlotModel, SlotModelPreset
from slot_attention_tf.presets import DATA, SET_PREDICTION_TRAINING
from slot_attention_tf.settings import setting


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
        slot_attention: Optional layer to stand in the place of Slot Attention, see
            `SlotAttentionAutoEncoder`.
        property_weights: Optional weights of the properties, see `HungarianHuberLoss`.
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
    >>> tuple(model(np.zeros((2, 64, 64, 3))).shape)
    (2, 10, 19)

    Reference: Locatello et al., "Object-Centric Learning with Slot Attention",
    NeurIPS 2020, Section 3.2 and Appendix E.4; sizes as in the reference release.
    """

    def __init__(
        self,
        resolution,
        num_slots=None,
        num_iterations=None,
        num_channels=3,
        slot_size=64,
        mlp_hidden_size=128,
        num_properties=NUM_FEATURES,
        head_hidden_size=64,
        implicit_differentiation=False,
        encoder=None,
        seed=None,
        slot_attention=None,
        property_weights=None,
        **kwargs,
    ):
        super().__init__(
            resolution=resolution,
            num_slots=num_slots,
            num_iterations=num_iterations,
            num_channels=num_channels,
            slot_size=slot_size,
            mlp_hidden_size=mlp_hidden_size,
            implicit_differentiation=implicit_differentiation,
            encoder=encoder,
            slot_attention=slot_attention,
            seed=seed,
            **kwargs,
        )
        self.num_properties = check_positive("num_properties", num_properties)
        self.head_hidden_size = check_positive("head_hidden_size", head_hidden_size)
        self.property_weights = property_weights
        policy = self.dtype_policy
        self.head_hidden = Dense(
            head_hidden_size, activation="relu", dtype=policy, name="head_hidden"
        )
        self.head_output = Dense(num_properties, dtype=policy, name="head_output")
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
        noise=None,
    ):
        slots, attention = self._find_slots(
            images,
            num_slots=num_slots,
            num_iterations=num_iterations,
            initial_slots=initial_slots,
            noise=noise,
            return_attention=return_attention,
        )  # [B, K, D], [B, T, N, K]
        logits = self.head_output(self.head_hidden(slots))  # [B, K, P]
        # Half precision would round the confidences, which rank detections, to ties.
        logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
        predictions = ops.sigmoid(logits)
        return (predictions, attention) if return_attention else predictions

    def loss_per_example(self, batch, outputs=None, training=True):
        return set_loss_per_example(
            self, batch, outputs, training, self.property_weights
        )

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """As `keras.Model.compile`; the default loss is `loss_per_example`.

        With a `loss` of your own, `fit` calls it on the targets as they are.
        """
        self._compile_with(optimizer, loss, **kwargs)

    def named_outputs(self, images, **options):
        if not self.has_attention:
            return set_outputs(self(images, **options))
        return set_outputs(*self(images, return_attention=True, **options))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_slots, self.num_properties)

    def get_config(self):
        config = {
            "num_properties": self.num_properties,
            "head_hidden_size": self.head_hidden_size,
            "property_weights": self.property_weights,
        }
        return {**super().get_config(), **config}


def set_loss_per_example(model, batch, outputs, training, weights=None):
    """Matched Huber loss of each image, `[B]`, for a model that predicts sets.

    Targets are padded to the predictions, so that every slot learns whether it holds an
    object.
    """
    if outputs is None:
        outputs = model(batch["image"], training=training)
    predictions = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    if batch.get("target") is None:
        raise ValueError(
            f"{type(model).__name__} learns from the properties of objects: "
            "`fit(images, targets)` with targets [batch, objects, properties]. "
            "Received: no targets"
        )
    target = pad_targets(batch["target"], predictions.shape[1])
    return hungarian_huber_loss_per_example(predictions, target, weights)


def set_outputs(predictions, attention=None):
    """Names of the outputs of a model that predicts sets; see `BaseModel`.

    Of predictions with the 19 numbers of CLEVR, each property has a name of its own;
    `coords` are in CLEVR's units.
    """
    outputs = {"predictions": predictions}
    if attention is not None:
        outputs["attention"] = attention
    if predictions.shape[-1] == NUM_FEATURES:
        for name, features in group_slices().items():
            outputs[name] = predictions[..., features]
        outputs["coords"] = decode_coords(outputs["coords"])
        outputs["confidence"] = outputs.pop("real_object")[..., 0]
    return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierPreset(SlotModelPreset):
    """Settings of a run of the classifier."""

    coords_weight: float = setting("Weight of the position in the loss.", 1.0)

    def model_arguments(self, dtype=None):
        arguments = super().model_arguments(dtype)
        if self.coords_weight != 1:
            arguments["property_weights"] = feature_weights(coords=self.coords_weight)
        return arguments


# The laptop runs.
_LAPTOP = """Not the paper's: an encoder with more strides and fewer layers, five
        iterations with implicit differentiation, a loss in which positions weigh three
        times as much, gradient clipping, averaged weights, a higher learning rate, a
        smaller batch and a short run."""
LAPTOP_TRAINING = {
    "num_iterations": 5,
    "implicit_differentiation": True,
    "encoder_filters": (32, 64, 128),
    "encoder_kernel_size": (5, 3, 3),
    "encoder_strides": (2, 2, 1),
    "coords_weight": 3.0,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "num_train_steps": 12_000,
    "warmup_steps": 300,
    "decay_steps": 4_000,
    "clip_norm": 1.0,
    "ema": 0.999,
}

PRESETS = {
    "clevr10": ClassifierPreset(
        description="""CLEVR with three to ten objects, 128x128 (paper, Section 4.2).

        The paper reports AP 94.3 / 86.7 / 56.0 / 10.8 / 0.9 % at the distances
        inf / 1 / 0.5 / 0.25 / 0.125. Not trained by this project yet.
        """,
        **DATA["clevr10"],
        **SET_PREDICTION_TRAINING,
        encoder_strides=(1, 2, 2, 1),
    ),
    "clevr6_properties": ClassifierPreset(
        description="""CLEVR with at most six objects, to be tested on more (Figure 5).

        Not trained by this project yet.
        """,
        **DATA["clevr6_properties"],
        **SET_PREDICTION_TRAINING,
        encoder_strides=(1, 2, 2, 1),
    ),
    "clevr_cpu": ClassifierPreset(
        description=f"""Generated CLEVR scenes of one to four objects, for a laptop CPU.

        {_LAPTOP}
        """,
        **DATA["clevr_cpu"],
        **LAPTOP_TRAINING,
    ),
    "clevr6_properties_cpu": ClassifierPreset(
        description=f"""Generated CLEVR scenes of three to six objects (Figure 5).

        {_LAPTOP} To be tested on scenes of up to ten objects.
        """,
        **DATA["clevr6_properties_cpu"],
        **LAPTOP_TRAINING,
    ),
}

register_model("slot_attention", "set_prediction", SlotAttentionClassifier, PRESETS)
