"""What the presets of all models share: data, optimisation, and the parts of a model.

A preset holds all that defines a training run but its seed: what the model is, on which
data it is trained, and how. Each model file ends with its own presets, by name; the
same name means the same data and image size for every model. Every field is a flag of
the training scripts and an argument of `slot_attention_tf.train`.
"""

import dataclasses
import inspect

from slot_attention_tf.clevr_properties import CROP
from slot_attention_tf.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of a training run; subclasses add those of a model.

    Defaults are what most runs of the paper share.
    """

    description: str = setting("What the run costs and reaches.", "")
    # Data.
    dataset: str = setting("Dataset as <name>/<config>.")
    resolution: tuple[int, int] = setting("Height and width of the images.")
    crop: tuple[int, int, int, int] | None = setting(
        "Rows and columns to keep before resizing: top, bottom, left, right.",
        None,
        minimum=0,
    )
    grayscale: bool = setting("Take the colours out of the images.", False)
    num_channels: int = setting("Channels of the images.", 3)
    max_num_objects: int | None = setting(
        "Leave out scenes with more objects; the size of the sets to predict.", None
    )
    num_slots: int = setting("Number of slots K.")
    # Optimisation.
    batch_size: int = setting("Global batch size.")
    num_train_steps: int = setting("Training steps in all.")
    learning_rate: float = setting("Learning rate before decay.", 4e-4)
    warmup_steps: int = setting("Steps of linear warm-up; 0 means none.", minimum=0)
    num_starts: int = setting(
        "Starts with other seeds; the one with the lowest loss after the warm-up goes "
        "on.",
        1,
    )
    decay_rate: float = setting("Factor of the exponential decay.", 0.5)
    decay_steps: int = setting("Steps that decay by that factor.")
    clip_norm: float | None = setting("Global norm to clip gradients to.", None)
    ema: float | None = setting(
        "Evaluate and save an average of the weights with this momentum, like 0.999.",
        None,
    )

    def __post_init__(self):
        description = inspect.cleandoc(self.description)
        object.__setattr__(self, "description", description)  # It is frozen.

    def model_arguments(self, dtype=None):
        """Arguments of the model's constructor.

        Args:
            dtype: Optional dtype policy of the layers that are made here.

        Returns:
            A dictionary.
        """
        raise NotImplementedError

    def make_optimizer(self, schedule):
        """The Keras optimizer of the run, without clipping (see `clip_norm`).

        Args:
            schedule: A learning rate schedule.
        """
        import keras  # Not at the top: presets can be read without it.

        return keras.optimizers.Adam(schedule, epsilon=1e-8)


def one_or_all(values):
    """One number for all layers if there is just one, else all of them."""
    return values[0] if len(values) == 1 else values


# What each name of a preset means: data, size and number of slots, written once. The
# `_cpu` ones are generated scenes and settings for a laptop.
_MULTI_DSPRITES = {"resolution": (64, 64), "num_slots": 6}
_BINARIZED = {"resolution": (64, 64), "num_channels": 1, "num_slots": 4}
_CLEVR6 = {
    "dataset": "clevr_with_masks/real",
    "resolution": (128, 128),
    "crop": CROP,
    "max_num_objects": 6,
    "num_slots": 7,
}
# Drawn at this size, and cropped.
_SMALL_CLEVR6 = {
    "dataset": "clevr_with_masks/laptop",
    "resolution": (64, 64),
    "max_num_objects": 6,
    "num_slots": 7,
}
DATA = {
    "tetrominoes": {
        "dataset": "tetrominoes/real",
        "resolution": (35, 35),
        "num_slots": 4,
    },
    "multi_dsprites": {
        "dataset": "multi_dsprites/colored_on_grayscale_real",
        **_MULTI_DSPRITES,
    },
    "multi_dsprites_binarized": {
        "dataset": "multi_dsprites/binarized_real",
        **_BINARIZED,
    },
    "clevr6": _CLEVR6,
    "clevr6_grayscale": {**_CLEVR6, "grayscale": True},
    "tetrominoes_cpu": {
        "dataset": "tetrominoes/synthetic",
        "resolution": (35, 35),
        "num_slots": 4,
    },
    "multi_dsprites_cpu": {
        "dataset": "multi_dsprites/colored_on_grayscale_synthetic",
        **_MULTI_DSPRITES,
    },
    "multi_dsprites_binarized_cpu": {
        "dataset": "multi_dsprites/binarized_synthetic",
        **_BINARIZED,
    },
    "clevr6_cpu": _SMALL_CLEVR6,
    "clevr6_grayscale_cpu": {**_SMALL_CLEVR6, "grayscale": True},
    "clevr10": {
        "dataset": "clevr",
        "resolution": (128, 128),
        "max_num_objects": 10,
        "num_slots": 10,
    },
    "clevr6_properties": {
        "dataset": "clevr",
        "resolution": (128, 128),
        "max_num_objects": 6,
        "num_slots": 6,
    },
    "clevr_cpu": {
        "dataset": "synthetic_clevr/laptop",
        "resolution": (64, 64),
        "max_num_objects": 4,
        "num_slots": 4,
    },
    "clevr6_properties_cpu": {
        "dataset": "synthetic_clevr/laptop10",
        "resolution": (64, 64),
        "max_num_objects": 6,
        "num_slots": 6,
    },
}

# How the paper trains (Appendix E.1 and E.2).
DISCOVERY_TRAINING = {
    "batch_size": 64,
    "num_train_steps": 500_000,
    "warmup_steps": 10_000,
    "decay_steps": 100_000,
}
SET_PREDICTION_TRAINING = {
    "batch_size": 512,
    "num_train_steps": 150_000,
    "warmup_steps": 1_000,
    "decay_steps": 50_000,
}
