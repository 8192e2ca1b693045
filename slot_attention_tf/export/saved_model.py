"""SavedModels that a process with TensorFlow but without this package can run."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
from keras import ops

from slot_attention_tf.clevr_properties import (
    COORDS_OFFSET,
    COORDS_SCALE,
    NUM_FEATURES,
    group_slices,
)
from slot_attention_tf.models.autoencoder import SlotAttentionAutoEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier
from slot_attention_tf.training.randomness import seed_states

_SAMPLED = "serving_default"
_GIVEN = "with_initial_slots"
# TensorFlow's place for files of others beside a SavedModel.
_DESCRIPTION = Path("assets.extra", "slot_attention.json")


def export_saved_model(model, path, num_slots=None, num_iterations=None):
    """Writes a model as a SavedModel for TensorFlow Serving and other programs.

    The SavedModel has two signatures, both for any batch size `B`:

    - `serving_default` takes `images` and samples the initial slots, anew in every
      call;
    - `with_initial_slots` takes `images` and `initial_slots` `[B, K, D]`, with any
      number `K` of slots.

    `images` are float32 `[B, H, W, C]` with values in `[-1, 1]`. All outputs but
    `segmentation` are float32. Those of a `SlotAttentionAutoEncoder`:

    | output | shape | |
    |---|---|---|
    | `reconstruction` | `[B, H, W, C]` | the masked sum of the slots' images |
    | `slot_images` | `[B, K, H, W, C]` | what each slot shows |
    | `masks` | `[B, K, H, W, 1]` | where; they sum to 1 over slots |
    | `segmentation` | `[B, H, W]`, int32 | the slot with the largest mask |
    | `slots` | `[B, K, D]` | |
    | `attention` | `[B, T, N, K]` | one map per iteration, sums to 1 over slots |

    Those of a `SlotAttentionClassifier`:

    | output | shape | |
    |---|---|---|
    | `predictions` | `[B, K, P]` | all of them, in (0, 1) |
    | `attention` | `[B, T, N, K]` | as above |
    | `coords` | `[B, K, 3]` | position in CLEVR's units, in [-3, 3] |
    | `size`, `material` | `[B, K, 2]` | a score of each value, in TFDS's order |
    | `shape` | `[B, K, 3]` | as above |
    | `color` | `[B, K, 8]` | as above |
    | `confidence` | `[B, K]` | that the slot holds an object |

    The rows from `coords` on exist if the model predicts the 19 numbers of CLEVR.

    TensorFlow Serving looks for versions in numbered folders: export to
    `<model name>/1` and start it with `--model_base_path=<model name>`.

    Args:
        model: A `SlotAttentionAutoEncoder` or `SlotAttentionClassifier`.
        path: The folder to write.
        num_slots: Optional integer, slots that `serving_default` samples. Default:
            the model's.
        num_iterations: Optional integer, iterations of both signatures. Default: the
            model's.

    Raises:
        TypeError: If `model` is none of the two.
        RuntimeError: Under another Keras backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "export_saved_model needs Keras on TensorFlow: save the model with "
            "model.save('model.keras') and load and export it in a process started "
            "with KERAS_BACKEND=tensorflow. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}"
        )
    import tensorflow as tf

    describe = _outputs_of(model)
    if num_slots is None:
        num_slots = model.num_slots
    if num_iterations is None:
        num_iterations = model.num_iterations

    images = tf.TensorSpec(
        (None, *model.resolution, model.num_channels), "float32", name="images"
    )
    slots = tf.TensorSpec((None, None, model.slot_size), "float32", "initial_slots")

    def sampled(images):
        return describe(images, num_slots=num_slots, num_iterations=num_iterations)

    def given(images, initial_slots):
        return describe(
            images, initial_slots=initial_slots, num_iterations=num_iterations
        )

    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    module.random_state = [variable.value for variable in seed_states(model)]
    signatures = {
        _SAMPLED: tf.function(sampled, input_signature=[images]),
        _GIVEN: tf.function(given, input_signature=[images, slots]),
    }
    tf.saved_model.save(module, str(path), signatures=signatures)
    _write_description(model, path, num_slots, num_iterations)


def load_saved_model(path):
    """Loads the SavedModel of an autoencoder to be called like the model.

    Args:
        path: A folder that `export_saved_model` wrote.

    Returns:
        A `SavedAutoEncoder`.

    Raises:
        ValueError: If the folder holds something else.
    """
    import tensorflow as tf

    file = Path(path) / _DESCRIPTION
    if not file.exists() or not tf.saved_model.contains_saved_model(str(path)):
        raise ValueError(
            "No SavedModel of export_saved_model lies there: write one by "
            f"slot_attention_tf.export_saved_model(model, path). Received: path={path}"
        )
    description = json.loads(file.read_text())
    if description["model_class"] != "SlotAttentionAutoEncoder":
        raise ValueError(
            "load_saved_model takes the SavedModel of a SlotAttentionAutoEncoder. "
            f"Received: {path} with a {description['model_class']}"
        )
    return SavedAutoEncoder(tf.saved_model.load(str(path)), description)


class SavedAutoEncoder:
    """A loaded SavedModel with the call of `SlotAttentionAutoEncoder`.

    Attributes:
        config: Dictionary, the configuration of the exported model.
        num_slots: Integer, slots that it samples.
        num_iterations: Integer.
        encoder: Object with the `feature_resolution` of the exported encoder, a pair
            or None.
        random_state: Its variables behind the sampled slots.
    """

    def __init__(self, loaded, description):
        self._loaded = loaded
        self.config = description["model"]
        self.num_slots = description["num_slots"]
        self.num_iterations = description["num_iterations"]
        grid = description["feature_resolution"]
        self.encoder = SimpleNamespace(feature_resolution=grid and tuple(grid))
        self.random_state = list(loaded.random_state)

    def __call__(
        self,
        images,
        num_slots=None,
        num_iterations=None,
        initial_slots=None,
        return_attention=False,
    ):
        """See `SlotAttentionAutoEncoder`; iterations are those of the export."""
        if num_iterations not in (None, self.num_iterations):
            self._raise_fixed("num_iterations", num_iterations)
        images = ops.cast(images, "float32")
        if initial_slots is not None:
            outputs = self._loaded.signatures[_GIVEN](
                images=images, initial_slots=ops.cast(initial_slots, "float32")
            )
        elif num_slots not in (None, self.num_slots):
            self._raise_fixed("num_slots", num_slots)
        else:
            outputs = self._loaded.signatures[_SAMPLED](images=images)
        names = ["reconstruction", "slot_images", "masks", "slots"]
        return tuple(outputs[n] for n in names + ["attention"] * return_attention)

    def _raise_fixed(self, name, value):
        raise ValueError(
            f"A SavedModel has the `{name}` it was exported with, here "
            f"{getattr(self, name)}: export it again with "
            f"export_saved_model(model, path, {name}={value}). "
            f"Received: {name}={value}"
        )


def _outputs_of(model):
    """The function from a model's inputs to its named outputs."""
    if isinstance(model, SlotAttentionAutoEncoder):
        named = _discovery_outputs
    elif isinstance(model, SlotAttentionClassifier):
        named = _set_prediction_outputs
    else:
        raise TypeError(
            "export_saved_model takes a SlotAttentionAutoEncoder or a "
            "SlotAttentionClassifier; other Keras models have model.export(path). "
            f"Received: {type(model).__name__}"
        )

    def describe(images, **kwargs):
        outputs = named(*model(images, return_attention=True, **kwargs))
        return {
            name: value if name == "segmentation" else ops.cast(value, "float32")
            for name, value in outputs.items()
        }

    return describe


def _discovery_outputs(recon_combined, recons, masks, slots, attention):
    return {
        "reconstruction": recon_combined,
        "slot_images": recons,
        "masks": masks,
        "segmentation": ops.cast(ops.argmax(masks[..., 0], axis=1), "int32"),
        "slots": slots,
        "attention": attention,
    }


def _set_prediction_outputs(predictions, attention):
    outputs = {"predictions": predictions, "attention": attention}
    if predictions.shape[-1] == NUM_FEATURES:
        for name, features in group_slices().items():
            outputs[name] = predictions[..., features]
        outputs["coords"] = outputs["coords"] * COORDS_SCALE + COORDS_OFFSET
        outputs["confidence"] = outputs.pop("real_object")[..., 0]
    return outputs


def _write_description(model, path, num_slots, num_iterations):
    """Keeps beside the SavedModel what this package wants to know about it."""
    description = {
        "model_class": next(
            base.__name__
            for base in type(model).__mro__
            if base in (SlotAttentionAutoEncoder, SlotAttentionClassifier)
        ),
        "model": model.get_config(),
        "num_slots": num_slots,
        "num_iterations": num_iterations,
        "feature_resolution": getattr(model.encoder, "feature_resolution", None),
    }
    file = Path(path) / _DESCRIPTION
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(description, indent=2) + "\n")
