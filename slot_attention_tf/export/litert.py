"""LiteRT files (once TensorFlow Lite), for phones and small devices."""

import tempfile

from slot_attention_tf.export.signatures import (
    check_convertible,
    check_file,
    check_model,
    input_specs,
    refuse,
    signature,
    write_file,
)
from slot_attention_tf.layers.arguments import check_positive


def export_litert(model, path, batch_size=1, num_slots=None, num_iterations=None):
    """Writes a model as a LiteRT file; see `BaseModel.export`.

    Args:
        model: A model of this package, such as a `SlotAttentionAutoEncoder`.
        path: The file to write.
        batch_size: Integer, the number of images in a call.
        num_slots: Optional integer, the number of slots. Default: the model's.
        num_iterations: Optional integer, iterations. Default: the model's.

    Raises:
        TypeError: If `model` is another Keras model.
        ValueError: If `path` is a folder, a size is no positive integer, or the model
            does not compute in float32 or has an operation that LiteRT lacks.
        RuntimeError: Under another Keras backend than TensorFlow.
    """
    check_model(model, "LiteRT")
    check_file(path)
    check_positive("batch_size", batch_size)
    num_slots = model.num_slots if num_slots is None else num_slots
    check_positive("num_slots", num_slots)
    inputs = input_specs(model, batch_size, num_slots, num_iterations)
    options = {} if num_iterations is None else {"num_iterations": num_iterations}
    if not model.takes_initial_slots:
        options["num_slots"] = num_slots
    write_file(path, _convert(model, signature(model, inputs, **options)))


def _convert(model, function):
    """The bytes of a LiteRT file that names inputs and outputs like a `tf.function`."""
    import tensorflow as tf

    check_convertible(function.get_concrete_function(), "LiteRT")
    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    with tempfile.TemporaryDirectory() as folder:
        # Only a SavedModel hands its names on.
        tf.saved_model.save(module, folder, signatures=function)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        try:
            return converter.convert()
        except Exception as error:  # The converter's own class is not public.
            refuse("LiteRT", error)
