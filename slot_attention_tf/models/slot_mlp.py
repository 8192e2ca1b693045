"""The paper's baseline without attention: both models with a Slot MLP (Section 4.1)."""

import dataclasses

from slot_attention_tf.layers.slot_mlp import SlotMLP
from slot_attention_tf.models import autoencoder, classifier
from slot_attention_tf.models.registry import register_model
from slot_attention_tf.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class _WithSlotMLP:
    """Puts a `SlotMLP` in the place of Slot Attention; all else stays as it is."""

    mlp_feature_resolution: tuple[int, int] = setting(
        "Size that the feature map is resized to for a Slot MLP.", (16, 16)
    )
    mlp_hidden_units: tuple[int, ...] = setting(
        "Units of the hidden layers of a Slot MLP.", (512, 512)
    )

    def model_arguments(self, dtype=None):
        arguments = super().model_arguments(dtype)
        arguments["slot_attention"] = SlotMLP(
            self.num_slots,
            self.slot_size,
            arguments["encoder"].feature_resolution,
            feature_resolution=self.mlp_feature_resolution,
            hidden_units=self.mlp_hidden_units,
            dtype=dtype,
            name="slot_mlp",
        )
        return arguments


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlotMLPAutoEncoderPreset(_WithSlotMLP, autoencoder.AutoEncoderPreset):
    """Settings of an autoencoder with a Slot MLP."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlotMLPClassifierPreset(_WithSlotMLP, classifier.ClassifierPreset):
    """Settings of a classifier with a Slot MLP."""


# Laptop presets with smaller maps than 16x16, to keep the first layer small:
# Tetrominoes keeps its 7x7, set prediction halves its 16x16.
_SMALL_MAPS = {
    "tetrominoes_cpu": (7, 7),
    "clevr_cpu": (8, 8),
    "clevr6_properties_cpu": (8, 8),
}


def _presets(preset_class, originals):
    """The presets of Slot Attention, each with a Slot MLP in its place."""
    presets = {}
    for name, original in originals.items():
        values = {
            field.name: getattr(original, field.name)
            for field in dataclasses.fields(original)
        }
        values["description"] = (
            f"Slot MLP with the settings of the preset {name} of slot_attention. The "
            "paper does not state its sizes."
        )
        if name in _SMALL_MAPS:
            values["mlp_feature_resolution"] = _SMALL_MAPS[name]
        presets[name] = preset_class(**values)
    return presets


register_model(
    "slot_mlp",
    "discovery",
    autoencoder.SlotAttentionAutoEncoder,
    _presets(SlotMLPAutoEncoderPreset, autoencoder.PRESETS),
)
register_model(
    "slot_mlp",
    "set_prediction",
    classifier.SlotAttentionClassifier,
    _presets(SlotMLPClassifierPreset, classifier.PRESETS),
)
