"""What all export formats share: inputs, named outputs, and what is refused."""

from pathlib import Path

import keras
from keras import ops

from slot_attention_tf.models.base import BaseModel

_OTHER_FLOATS = ("float16", "bfloat16", "float64")


def check_model(model, format, model_class=BaseModel):
    """Raises unless `model` is one of ours on TensorFlow, which exports it."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Export to {format} needs Keras on TensorFlow: save the model with "
            "model.save('model.keras') and load and export it in a process started "
            "with KERAS_BACKEND=tensorflow. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}"
        )
    if not isinstance(model, model_class):
        expected = "SlotAttentionAutoEncoder"
        if model_class is BaseModel:
            expected = f"model of this package, such as a {expected}"
        raise TypeError(
            f"Export to {format} takes a {expected}; other Keras models have "
            f"model.export(path). Received: {type(model).__name__}"
        )


def check_file(path):
    """Raises ValueError if `path`, where a file is to be written, is a folder."""
    if Path(path).is_dir():
        raise ValueError(
            "The export is one file: choose a path that is no folder. "
            f"Received: path={path}"
        )


def write_file(path, content):
    """Writes bytes, and the folders on the way."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def input_specs(model, batch_size=None, num_slots=None, num_iterations=None):
    """Inputs that leave nothing to chance: images, and where the model starts.

    Args:
        model: A model of this package.
        batch_size: Integer, or None for any.
        num_slots: Integer, or None: any number of initial slots, or noise for as many
            slots as the model has.
        num_iterations: Integer, or None for the model's.

    Returns:
        List of `tf.TensorSpec`: `images`, then `initial_slots` of a model that takes
        them, or `noise` of a model that takes that.
    """
    shapes = {"images": (*model.resolution, model.num_channels)}
    noise = model.noise_shape(num_slots=num_slots, num_iterations=num_iterations)
    if model.takes_initial_slots:
        shapes["initial_slots"] = (num_slots, model.slot_size)
    elif noise is not None:
        shapes["noise"] = noise
    return [tensor_spec(name, batch_size, *shape) for name, shape in shapes.items()]


def tensor_spec(name, *shape):
    import tensorflow as tf

    return tf.TensorSpec(shape, "float32", name=name)


def signature(model, inputs, **options):
    """A `tf.function` from `inputs` to the named outputs of a model, in float32.

    Args:
        model: A model of this package.
        inputs: List of `tf.TensorSpec` with the names of call arguments.
        **options: More call arguments.
    """

    def call(**given):
        return single_precision(model.named_outputs(**given, **options))

    return function(call, inputs)


def function(call, inputs):
    """A `tf.function` of `call`, which takes `inputs` by name."""
    import tensorflow as tf

    names = [spec.name for spec in inputs]

    def traced(*given):
        return call(**dict(zip(names, given, strict=True)))

    # TensorFlow names the inputs after their specs.
    return tf.function(traced, input_signature=inputs, autograph=False)


def single_precision(outputs):
    """The named outputs as all formats have them: float32, and int32 labels."""
    import tensorflow as tf

    outputs = {name: ops.cast(each, "float32") for name, each in outputs.items()}
    if "segmentation" in outputs:
        # Keras looks for negative zeros, by an operation that ONNX does not have.
        outputs["segmentation"] = tf.argmax(
            outputs["masks"][..., 0], axis=1, output_type="int32"
        )
    return outputs


def check_convertible(concrete_function, format):
    """Raises ValueError if a traced function cannot be a file of `format`."""
    operations = concrete_function.graph.get_operations()
    dtypes = {tensor.dtype.name for each in operations for tensor in each.outputs}
    other = sorted(dtypes.intersection(_OTHER_FLOATS))
    if other:
        raise ValueError(
            f"A model for {format} must compute in float32: build it again with "
            "dtype='float32' and copy the weights, "
            "copy.set_weights(model.get_weights()). "
            f"Received: a model that computes in {', '.join(other)}"
        )
    if any(each.name.startswith("gradient_tape/") for each in operations):
        raise ValueError(
            f"{format} has no gradients, which this model takes when it predicts, as "
            "IODINE and DSPN do; nothing was written. The format 'tf_saved_model' "
            "takes every model. Received: a model with gradients inside"
        )


def refuse(format, reason):
    """Raises ValueError about a model that a converter of others refused."""
    raise ValueError(
        f"This model has an operation that {format} lacks; nothing was written. The "
        "format 'tf_saved_model' takes every model. Received: a model of which the "
        f"converter says: {str(reason).strip().splitlines()[0]}"
    ) from reason
