"""Weights from checkpoints of the reference release (google-research)."""

import re
from pathlib import Path

import keras

from slot_attention_tf.layers.conv_encoder import ConvEncoder
from slot_attention_tf.layers.slot_attention import SlotAttention
from slot_attention_tf.layers.slot_initializer import SlotInitializer
from slot_attention_tf.layers.spatial_broadcast_decoder import SpatialBroadcastDecoder
from slot_attention_tf.models.autoencoder import SlotAttentionAutoEncoder
from slot_attention_tf.models.classifier import SlotAttentionClassifier

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Every network of the release has it, wherever it hangs in its checkpoint.
_LANDMARK = "slot_attention/slots_mu"


def load_reference_checkpoint(model, path):
    """Fills a model with the weights of a checkpoint that the release wrote.

    The release saves `tf.train.Checkpoint(network=..., optimizer=..., global_step=...)`
    of networks for 128x128 images; they fit the default models of that size,
    `SlotAttentionAutoEncoder((128, 128), K, T)` and
    `SlotAttentionClassifier((128, 128), K, T)`, with any numbers of slots `K` and
    iterations `T`. Everything but the network is ignored. Nothing is assigned unless
    everything fits.

    Args:
        model: A `SlotAttentionAutoEncoder` or `SlotAttentionClassifier`.
        path: A checkpoint, such as `"dir/ckpt-500"`, or the folder of several, of
            which the last is taken.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        TypeError: If `model` is none of the two.
        ValueError: If the file is no checkpoint of the release, or the model's
            architecture is another: the message names the variables.
    """
    targets = _targets(model)
    path = _find_checkpoint(path)
    values = _read_network(path)
    _check(targets, values, path)
    for name, (variable, convert) in targets.items():
        variable.assign(convert(values[name]))
    return model


def _targets(model):
    """Maps the release's names to pairs `(variable, conversion)`."""
    if not isinstance(model, (SlotAttentionAutoEncoder, SlotAttentionClassifier)):
        raise TypeError(
            "load_reference_checkpoint fills a SlotAttentionAutoEncoder or a "
            f"SlotAttentionClassifier. Received: {type(model).__name__}"
        )
    _check_part("encoder", model.encoder, ConvEncoder)
    _check_part("slot_attention", model.slot_attention, SlotAttention)
    initializer = model.slot_attention.slot_initializer
    _check_part("slot_attention.slot_initializer", initializer, SlotInitializer)
    layers = {**_encoder_layers(model.encoder), **_attention_layers(model)}
    if isinstance(model, SlotAttentionClassifier):
        layers["mlp_classifier/layer_with_weights-0"] = model.head_hidden
        layers["mlp_classifier/layer_with_weights-1"] = model.head_output
    else:
        _check_part("decoder", model.decoder, SpatialBroadcastDecoder)
        layers |= _decoder_layers(model.decoder)

    targets = {
        "slot_attention/slots_mu": (initializer.mu, _same),
        "slot_attention/slots_log_sigma": (initializer.log_sigma, _same),
    }
    for name, layer in layers.items():
        for variable in layer.trainable_variables:
            flip = name.startswith("decoder_cnn/") and variable.name == "kernel"
            # Of exact type: a transposed convolution is a convolution to isinstance.
            flip = flip and type(layer) is keras.layers.Conv2D
            convert = _flip if flip else _same
            targets[f"{name}/{variable.name}"] = (variable, convert)
    return targets


def _encoder_layers(encoder):
    return {
        **{
            f"encoder_cnn/layer_with_weights-{i}": conv
            for i, conv in enumerate(encoder.convs)
        },
        "encoder_pos/dense": encoder.position.dense,
        "layer_norm": encoder.norm,
        "mlp/layer_with_weights-0": encoder.mlp_hidden,
        "mlp/layer_with_weights-1": encoder.mlp_output,
    }


def _attention_layers(model):
    layer = model.slot_attention
    parts = {
        "norm_inputs": layer.norm_inputs,
        "norm_slots": layer.norm_slots,
        "norm_mlp": layer.norm_mlp,
        "project_q": layer.project_q,
        "project_k": layer.project_k,
        "project_v": layer.project_v,
        "gru": layer.gru,
        "mlp/layer_with_weights-0": layer.mlp_hidden,
        "mlp/layer_with_weights-1": layer.mlp_output,
    }
    return {f"slot_attention/{name}": part for name, part in parts.items()}


def _decoder_layers(decoder):
    convs = [*decoder.convs, decoder.output_conv]
    return {
        "decoder_pos/dense": decoder.position.dense,
        **{f"decoder_cnn/layer_with_weights-{i}": conv for i, conv in enumerate(convs)},
    }


def _check_part(name, part, expected):
    if not isinstance(part, expected):
        raise ValueError(
            f"A checkpoint of the release has weights for a {expected.__name__} as "
            f"`model.{name}`. Received: model.{name} of type {type(part).__name__}"
        )


def _same(value):
    return value


def _flip(kernel):
    """A transposed convolution of stride 1 as a convolution.

    Args:
        kernel: Array `[kh, kw, out, in]` of the transposed convolution.

    Returns:
        Array `[kh, kw, in, out]`.
    """
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


def _find_checkpoint(path):
    """The checkpoint that `path` means, without its file endings."""
    path = Path(path)
    if path.is_dir():
        numbered = [(_number(index), index) for index in path.glob("*.index")]
        if not numbered:
            raise FileNotFoundError(
                "The folder holds no checkpoint, that is, no file *.index. "
                f"Received: path={path}"
            )
        # By number and not by the folder's file `checkpoint`, which holds absolute
        # paths of the machine that wrote it.
        path = max(numbered)[1]
    if path.suffix == ".index":
        path = path.with_suffix("")
    if not Path(f"{path}.index").exists():
        raise FileNotFoundError(
            "There is no such checkpoint: name it without file ending, as in "
            f"dir/ckpt-500, or name its folder. Received: path={path}"
        )
    return path


def _number(index_file):
    match = re.search(r"-(\d+)\.index$", index_file.name)
    return int(match[1]) if match else -1


def _read_network(path):
    """The network's variables in a checkpoint: arrays by the release's names."""
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(path))
        keys = sorted(reader.get_variable_to_shape_map())
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(
            "TensorFlow cannot read a checkpoint there. "
            f"Received: path={path} ({error})"
        ) from error
    variables = [key.removesuffix(_SUFFIX) for key in keys if key.endswith(_SUFFIX)]
    found = [name for name in variables if name.endswith(_LANDMARK)]
    if len(found) != 1:
        some = ", ".join(variables[:5]) or "none"
        raise ValueError(
            f"{path} is no checkpoint of the release: it has {len(found)} variables "
            f"named .../{_LANDMARK}, and must have one. Its variables begin with: "
            f"{some}"
        )
    prefix = found[0].removesuffix(_LANDMARK)  # "network/layer_with_weights-0/"
    network = prefix.split("/")[0] + "/" if prefix else ""
    return {
        name.removeprefix(prefix): reader.get_tensor(name + _SUFFIX)
        for name in variables
        if name.startswith(network) and not _is_of_the_run(name)
    }


def _is_of_the_run(name):
    """Whether a variable belongs to the training run instead of a network."""
    first = name.split("/")[0]
    return ".OPTIMIZER_SLOT" in name or first in (
        "optimizer",
        "global_step",
        "save_counter",
    )


def _check(targets, values, path):
    wrong = [f"missing in the checkpoint: {n}" for n in targets if n not in values]
    wrong += [f"missing in the model: {n}" for n in values if n not in targets]
    for name, (variable, convert) in targets.items():
        if name not in values:
            continue
        shape, expected = values[name].shape, tuple(variable.shape)
        if len(shape) != len(expected) or convert(values[name]).shape != expected:
            if convert is _flip:
                expected = (*expected[:2], expected[3], expected[2])
            wrong.append(f"{name}: {list(shape)}, the model needs {list(expected)}")
    if wrong:
        raise ValueError(
            "The checkpoint is of another architecture than the model. It fits "
            "SlotAttentionAutoEncoder((128, 128), ...) or "
            "SlotAttentionClassifier((128, 128), ...), as the release trained the one "
            f"or the other. Received: {path} with " + "; ".join(wrong)
        )
