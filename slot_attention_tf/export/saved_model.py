"""SavedModels that a process with TensorFlow but without this package can run."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
from keras import ops

from slot_attention_tf.export.signatures import (
    check_model,
    function,
    signature,
    single_precision,
    tensor_spec,
)

SAMPLED = "serving_default"
WITH_SLOTS = "with_initial_slots"
WITH_NOISE = "with_noise"
WITH_SEED = "with_seed"
# TensorFlow's place for files of others beside a SavedModel.
_DESCRIPTION = Path("assets.extra", "slot_attention.json")


def export_saved_model(model, path, num_slots=None, num_iterations=None):
    """Writes a model as a SavedModel for TensorFlow Serving and other programs.

    The SavedModel has up to four signatures, all for any batch size `B`:

    - `serving_default` takes `images` and draws random starts anew in every call;
    - `with_initial_slots` takes `images` and `initial_slots` `[B, K, D]`, with any
      number `K` of slots, of a model with Slot Attention;
    - `with_noise` takes `images` and `noise`, standard normal numbers to draw the start
      from, of a model that takes noise;
    - `with_seed` takes `images` and `seed`, two integers (int32), and draws that noise
      from them: the same for the same seed and shape of `images`.

    `images` are float32 `[B, H, W, C]` with values in `[-1, 1]`. All outputs but
    `segmentation` are float32; they are those of the model's `named_outputs`. Of a
    model that finds objects:

    | output | shape | |
    |---|---|---|
    | `reconstruction` | `[B, H, W, C]` | the masked sum of the slots' images |
    | `slot_images` | `[B, K, H, W, C]` | what each slot shows |
    | `masks` | `[B, K, H, W, 1]` | where; they sum to 1 over slots |
    | `segmentation` | `[B, H, W]`, int32 | the slot with the largest mask |
    | `slots` | `[B, K, D]` | |
    | `attention` | `[B, T, N, K]` | one map per iteration, sums to 1 over slots |

    Of a model that predicts sets:

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
        model: A model of this package, such as a `SlotAttentionAutoEncoder`.
        path: The folder to write.
        num_slots: Optional integer, slots of `serving_default`. Default: the model's.
        num_iterations: Optional integer, iterations of all signatures. Default: the
            model's.

    Raises:
        TypeError: If `model` is another Keras model.
        ValueError: If `path` is a file.
        RuntimeError: Under another Keras backend than TensorFlow.
    """
    _check(model, path)
    import tensorflow as tf

    from slot_attention_tf.training.randomness import seed_states

    options = {"num_slots": num_slots, "num_iterations": num_iterations}
    options = {name: value for name, value in options.items() if value is not None}
    iterations = {k: v for k, v in options.items() if k == "num_iterations"}

    images = tensor_spec("images", None, *model.resolution, model.num_channels)
    inputs = {SAMPLED: (options, [images])}
    if model.takes_initial_slots:
        slots = tensor_spec("initial_slots", None, None, model.slot_size)
        inputs[WITH_SLOTS] = (iterations, [images, slots])
    shape = model.noise_shape(**options)
    if shape is not None:
        inputs[WITH_NOISE] = (options, [images, tensor_spec("noise", None, *shape)])
    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    module.random_state = seed_states(model)
    functions = {
        name: signature(model, specs, **given)
        for name, (given, specs) in inputs.items()
    }
    if shape is not None:
        functions[WITH_SEED] = _seeded(model, images, shape, options)
    tf.saved_model.save(module, str(path), signatures=functions)
    _write_description(model, path, options)


def load_saved_model(path):
    """Loads a SavedModel to be called and evaluated like the model.

    Args:
        path: A folder that `export_saved_model` wrote.

    Returns:
        A `LoadedModel`.

    Raises:
        ValueError: If the folder holds something else.
    """
    import tensorflow as tf

    file = Path(path) / _DESCRIPTION
    if not file.exists() or not tf.saved_model.contains_saved_model(str(path)):
        raise ValueError(
            "There is no SavedModel of export_saved_model: write one by "
            f"slot_attention_tf.export_saved_model(model, path). Received: path={path}"
        )
    return LoadedModel(tf.saved_model.load(str(path)), json.loads(file.read_text()))


class LoadedModel:
    """A loaded SavedModel with what tasks use of a model.

    Attributes:
        description: Dictionary: the class, sizes and settings of the exported model.
        num_slots: Integer, slots that it was exported with.
        num_iterations: Integer or None.
        encoder: Object with the `feature_resolution` of the exported encoder, a pair
            or None.
    """

    # What training.randomness asks of a model: there is nothing to fix.
    weights = ()
    variables = ()

    def __init__(self, loaded, description):
        self._loaded = loaded
        self.description = description
        self.num_slots = description["num_slots"]
        self.num_iterations = description["num_iterations"]
        grid = description["feature_resolution"]
        self.encoder = SimpleNamespace(feature_resolution=grid and tuple(grid))

    def noise_shape(self, **options):
        """As `BaseModel.noise_shape`, for the sizes of the export."""
        self._check(options)
        shape = self.description["noise_shape"]
        return shape and tuple(shape)

    def named_outputs(self, images, initial_slots=None, noise=None, **options):
        """As `BaseModel.named_outputs`, for the sizes of the export."""
        self._check(options)
        given = {"images": ops.cast(images, "float32")}
        name = SAMPLED
        if initial_slots is not None:
            name = WITH_SLOTS
            given["initial_slots"] = ops.cast(initial_slots, "float32")
        elif noise is not None:
            name = WITH_NOISE
            given["noise"] = ops.cast(noise, "float32")
        return self._loaded.signatures[name](**given)

    def _check(self, options):
        for name, value in options.items():
            if value not in (None, getattr(self, name)):
                raise ValueError(
                    f"A SavedModel has the `{name}` it was exported with, here "
                    f"{getattr(self, name)}: export it again with "
                    f"export_saved_model(model, path, {name}={value}). "
                    f"Received: {name}={value}"
                )


def _check(model, path):
    check_model(model, "SavedModel")
    if Path(path).is_file():
        raise ValueError(
            "A SavedModel is a folder: choose a path that is no file. "
            f"Received: path={path}"
        )


def _seeded(model, images, noise_shape, options):
    """A `tf.function` like `signature` that draws the noise from a seed."""
    import tensorflow as tf

    def call(images, seed):
        shape = (tf.shape(images)[0], *noise_shape)
        noise = tf.random.stateless_normal(shape, seed)
        return single_precision(model.named_outputs(images, noise=noise, **options))

    return function(call, [images, tf.TensorSpec((2,), "int32", name="seed")])


def _write_description(model, path, options):
    """Keeps beside the SavedModel what this package wants to know about it."""
    grid = getattr(getattr(model, "encoder", None), "feature_resolution", None)
    description = {
        "model_class": type(model).__name__,
        "model": keras.saving.serialize_keras_object(model),
        "num_slots": options.get("num_slots", model.num_slots),
        "num_iterations": options.get(
            "num_iterations", getattr(model, "num_iterations", None)
        ),
        "noise_shape": model.noise_shape(**options),
        "feature_resolution": grid,
    }
    file = Path(path) / _DESCRIPTION
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(description, indent=2) + "\n")
