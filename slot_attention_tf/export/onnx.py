"""ONNX files, for ONNX Runtime in any language and in web pages."""

from slot_attention_tf.export.signatures import (
    check_convertible,
    check_file,
    check_model,
    input_specs,
    refuse,
    signature,
    write_file,
)

# Old enough for onnxruntime-web and other programs.
_OPSET = 17


def export_onnx(model, path, num_iterations=None):
    """Writes a model as an ONNX file; see `BaseModel.export`.

    Args:
        model: A model of this package, such as a `SlotAttentionAutoEncoder`.
        path: The file to write.
        num_iterations: Optional integer, iterations. Default: the model's.

    Raises:
        ImportError: If tf2onnx is not installed.
        TypeError: If `model` is another Keras model.
        ValueError: If `path` is a folder, or the model does not compute in float32 or
            has an operation that ONNX lacks.
        RuntimeError: Under another Keras backend than TensorFlow.
    """
    check_model(model, "ONNX")
    check_file(path)
    options = {} if num_iterations is None else {"num_iterations": num_iterations}
    inputs = input_specs(model, **options)
    write_file(path, convert(signature(model, inputs, **options)))


def convert(function):
    """Converts a `tf.function` with an input signature.

    Returns:
        The bytes of an ONNX file. Its inputs are named like those of the signature, its
        outputs like the keys of the dictionary that the function returns.
    """
    onnx, tf2onnx = _import()
    concrete = function.get_concrete_function()
    check_convertible(concrete, "ONNX")
    proto, _ = tf2onnx.convert.from_function(
        function, function.input_signature, opset=_OPSET
    )
    try:
        # The converter only logs what it cannot convert.
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        refuse("ONNX", error)
    _name_sizes(proto.graph, concrete)
    return proto.SerializeToString()


def _import():
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise ImportError(
            "Export to ONNX needs tf2onnx: pip install slot_attention_tf[onnx]. "
            f"Received: {error}"
        ) from error
    return onnx, tf2onnx


def _name_sizes(graph, concrete):
    """Calls the sizes that may vary `batch` and `num_slots`."""
    inputs = concrete.structured_input_signature[0]
    shapes = {spec.name: spec.shape for spec in inputs}
    outputs = concrete.structured_outputs.items()
    shapes.update({name: tensor.shape for name, tensor in outputs})
    for tensor in (*graph.input, *graph.output):
        sizes = tensor.type.tensor_type.shape.dim
        for axis, size in enumerate(shapes[tensor.name]):
            if size is None:
                sizes[axis].dim_param = "num_slots" if axis else "batch"
            else:
                sizes[axis].dim_value = size
