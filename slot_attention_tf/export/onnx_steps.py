"""An autoencoder as separate ONNX files, to show its iterations one by one."""

from pathlib import Path

from keras import ops

from slot_attention_tf.export.onnx import convert
from slot_attention_tf.export.signatures import (
    check_model,
    function,
    single_precision,
    tensor_spec,
)
from slot_attention_tf.layers.slot_attention import SlotAttention
from slot_attention_tf.layers.slot_initializer import SlotInitializer
from slot_attention_tf.models.autoencoder import (
    SlotAttentionAutoEncoder,
    discovery_outputs,
)


def export_onnx_steps(model, folder):
    """Writes an autoencoder as ONNX files that a program calls one after the other.

    A web page can thus decode and draw the slots after each iteration. All files take
    any batch size `B` and any number `K` of slots:

    | file | inputs | outputs |
    |---|---|---|
    | `encode.onnx` | `images` `[B, H, W, C]` | `inputs` `[B, N, F]` |
    | `start.onnx` | `noise` `[B, K, D]` | `slots` `[B, K, D]` |
    | `step.onnx` | `inputs`, `slots` | `next_slots`, `attention` `[B, N, K]` |
    | `decode.onnx` | `slots` | images and masks, see below |

    `start.onnx` turns standard normal noise into initial slots; it is left out if the
    model has an initializer other than `SlotInitializer`. Calling `step.onnx` `T`
    times, each time with the last `next_slots` as `slots`, gives the slots of the whole
    model. The outputs of `decode.onnx` are `reconstruction`, `slot_images`, `masks` and
    `segmentation`, in the shapes that `export_saved_model` lists.

    Args:
        model: A `SlotAttentionAutoEncoder`.
        folder: The folder to write to.

    Raises:
        ImportError: If tf2onnx is not installed.
        TypeError: If `model` is another model.
        ValueError: If the layer that finds slots has no iterations, or the model does
            not compute in float32 or has an operation that ONNX lacks.
        RuntimeError: Under another Keras backend than TensorFlow.

    Example:

    ```python
    model = SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
    export_onnx_steps(model, "web")
    ```
    """
    check_model(model, "ONNX steps", SlotAttentionAutoEncoder)
    if not isinstance(model.slot_attention, SlotAttention):
        raise ValueError(
            "Only Slot Attention has iterations to export: use "
            "model.export(path, format='onnx'). Received: a model with "
            f"slot_attention={type(model.slot_attention).__name__}"
        )
    files = {
        f"{name}.onnx": convert(function(call, inputs))
        for name, (call, inputs) in _steps(model).items()
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _steps(model):
    """The function of each file, and the specs of its inputs."""
    layer = model.slot_attention
    images = (None, *model.resolution, model.num_channels)
    num_features = model.encoder.compute_output_shape(images)[1]

    def encode(images):
        return {"inputs": layer.norm_inputs(model.encoder(images))}

    def start(noise):
        return {"slots": layer.slot_initializer.from_noise(noise)}

    def step(inputs, slots):
        next_slots, attention = layer.step(slots, inputs)
        # The whole model has the slots last too.
        attention = ops.transpose(attention, (0, 2, 1))
        return {"next_slots": next_slots, "attention": attention}

    def decode(slots):
        outputs = discovery_outputs(*model.decode(slots), slots)
        del outputs["slots"]
        return single_precision(outputs)

    images = tensor_spec("images", *images)
    inputs = tensor_spec("inputs", None, num_features, layer.input_size)
    slots, noise = (
        tensor_spec(name, None, None, model.slot_size) for name in ("slots", "noise")
    )
    steps = {
        "encode": (encode, [images]),
        "start": (start, [noise]),
        "step": (step, [inputs, slots]),
        "decode": (decode, [slots]),
    }
    if not isinstance(layer.slot_initializer, SlotInitializer):
        del steps["start"]  # Somebody's own initializer may need other things.
    return steps
