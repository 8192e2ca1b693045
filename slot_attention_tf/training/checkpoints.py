"""What a checkpoint of a run holds, by the names of its variables."""

import contextlib
import re

import keras
import numpy as np
import tensorflow as tf

from slot_attention_tf.training.randomness import seed_states

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_AVERAGE = "/average"  # What Keras's optimizers call the moving average of a weight.


class CheckpointError(ValueError):
    """A checkpoint is of another model, or its weights are not finite."""


class BrokenCheckpointError(CheckpointError):
    """A checkpoint cannot be read."""


def training_state(model, optimizer, step, seconds):
    """All that a run needs to continue exactly: a `tf.train.Checkpoint`.

    Args:
        model: A built Keras model.
        optimizer: A built Keras optimizer.
        step: Integer `tf.Variable`, the steps that were trained.
        seconds: Float `tf.Variable`, the time that they took.
    """
    weights = named_weights(model)
    return tf.train.Checkpoint(
        model=_values(weights),
        optimizer=_values(_named_slots(optimizer, weights)),
        random_state={
            str(number): state for number, state in enumerate(seed_states(model))
        },
        step=step,
        seconds=seconds,
    )


def named_weights(model):
    """The weights of a model by where they are: `"encoder/convs/0/kernel"`.

    Keras's own paths depend on how a model was built, and differ between a new model
    and the same model loaded from a file.

    Args:
        model: A built Keras model or layer.

    Returns:
        Dictionary from name to Keras variable, in the order of `model.weights`.
    """
    names = {}
    for path, layer in _walk(model, ()):
        for weight in layer.weights:
            # The innermost layer and its own attribute come last.
            names[id(weight)] = "/".join((*path, weight.name))
    named = {names[id(weight)]: weight for weight in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(
            "Each weight needs a name of its own to be saved: give the weights of a "
            f"layer different names. Received: {len(model.weights)} weights with "
            f"{len(named)} names"
        )
    return named


def _walk(layer, path):
    """Yields `(path, layer)` of a layer and all layers below, by their attributes."""
    yield path, layer
    # Sequential and functional models keep no attribute for each of their layers.
    children = {"layers": layer.layers} if isinstance(layer, keras.Model) else {}
    children |= {k: v for k, v in vars(layer).items() if not k.startswith("_")}
    for name, value in children.items():
        for place, each in _parts(value):
            if isinstance(each, keras.Layer):
                yield from _walk(each, (*path, name, *place))


def _parts(value):
    """What an attribute holds, each with its place in it."""
    if isinstance(value, dict):
        return [((str(key),), each) for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [((str(number),), each) for number, each in enumerate(value)]
    return [((), value)]


def _named_slots(optimizer, weights):
    """The variables of an optimizer by the names of their weights."""
    # Keras calls them <optimizer>/<path of the weight>_<kind>.
    prefixes = {w.path.replace("/", "_") + "_": name for name, w in weights.items()}
    named = {}
    for variable in optimizer.variables:
        owner, _, rest = variable.path.partition("/")
        matching = [prefix for prefix in prefixes if rest.startswith(prefix)]
        if matching:
            prefix = max(matching, key=len)
            rest = f"{prefixes[prefix]}/{rest.removeprefix(prefix)}"
        # Optimizers are numbered in a process: adam, adam_1.
        named[f"{re.sub(r'_[0-9]+$', '', owner)}/{rest}"] = variable
    return named


@contextlib.contextmanager
def averaged_weights(model, optimizer):
    """Inside, the weights are the moving averages of them that the optimizer keeps.

    Afterwards the weights are as before, bit by bit. `keras.callbacks.SwapEMAWeights`
    adds and subtracts instead, which rounds.

    Args:
        model: A built Keras model.
        optimizer: Its optimizer; if made without `use_ema=True`, nothing happens.
    """
    weights = named_weights(model)
    averages = _averages(_named_slots(optimizer, weights))
    before = {name: np.array(weights[name]) for name in averages}
    for name, average in averages.items():
        weights[name].assign(np.array(average))
    try:
        yield
    finally:
        for name, value in before.items():
            weights[name].assign(value)


def _averages(slots):
    """Of an optimizer's variables, the averages, by the names of their weights."""
    return {
        name.partition("/")[2].removesuffix(_AVERAGE): value
        for name, value in slots.items()
        if name.endswith(_AVERAGE)
    }


def _values(variables):
    # Plain tf.Variables: TensorFlow's walk over Keras 3 objects misses some.
    return {name: variable.value for name, variable in variables.items()}


def restore(state, path):
    """Fills a `training_state` from a checkpoint, or nothing of it.

    Args:
        state: The `tf.train.Checkpoint`.
        path: The checkpoint, as `tf.train.latest_checkpoint` names it.

    Raises:
        CheckpointError: If the file holds other variables; the message names them.
        BrokenCheckpointError: If the file cannot be read.
    """
    try:
        stored = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        _compare(state, stored, path)
        state.restore(path).expect_partial().assert_existing_objects_matched()
    except AssertionError as error:
        raise CheckpointError(
            f"The checkpoint {path} lacks variables of this run, such as those of its "
            f"optimizer: {error}"
        ) from error
    except (tf.errors.OpError, IndexError, RuntimeError) as error:
        # What TensorFlow raises of truncated files differs from case to case.
        first_line = str(error).splitlines()[0]
        raise BrokenCheckpointError(
            f"The checkpoint {path} is broken ({first_line})."
        ) from error


def restore_newest(state, paths):
    """Restores the newest checkpoint that can be read.

    Args:
        state: A `training_state`, or a part of it.
        paths: The checkpoints of a run, the newest last.

    Returns:
        The path that was restored, or None if `paths` is empty.

    Raises:
        CheckpointError: As `restore`; BrokenCheckpointError if none can be read.
    """
    error = None
    for path in reversed(paths):
        try:
            restore(state, path)
            return path
        except BrokenCheckpointError as broken:
            error = broken
            print(f"{broken} Trying the one before.", flush=True)
    if error is not None:
        raise BrokenCheckpointError(
            f"None of the {len(paths)} checkpoints beside {paths[-1]} can be read."
        ) from error
    return None


def restore_model(model, folder):
    """Fills a model's weights from the newest checkpoint of a run.

    If the run keeps averages of its weights, the model gets these.

    Args:
        model: A built Keras model.
        folder: The folder of the run's checkpoints.

    Returns:
        The step of the checkpoint, or None if there is no checkpoint.

    Raises:
        CheckpointError: As `restore_newest`.
    """
    step = tf.Variable(0, dtype=tf.int64)
    weights = _values(named_weights(model))
    found = tf.train.get_checkpoint_state(str(folder))
    paths = list(found.all_model_checkpoint_paths) if found else []
    state = tf.train.Checkpoint(model=weights, step=step)
    path = restore_newest(state, paths)
    if path is None:
        return None
    checkpoint = tf.train.load_checkpoint(path)
    keys = _stored(checkpoint.get_variable_to_shape_map(), "optimizer/")
    for name, key in _averages(keys).items():
        weights[name].assign(checkpoint.get_tensor(key))
    return int(step)


def _stored(keys, prefix):
    """Keys of a checkpoint's variables below a prefix, by the variables' names."""
    return {
        # TensorFlow writes "/" inside of names as ".S".
        key.removeprefix(prefix).removesuffix(_SUFFIX).replace(".S", "/"): key
        for key in keys
        if key.startswith(prefix) and key.endswith(_SUFFIX)
    }


def _compare(state, stored, path):
    """Raises CheckpointError unless the model's variables are those of the file."""
    found = {name: stored[key] for name, key in _stored(stored, "model/").items()}
    if "0" in found:
        raise CheckpointError(
            f"The checkpoint {path} was written by version 0.1, which numbered its "
            "variables. The run's model.keras can still be loaded; to train further, "
            "start a new run."
        )
    wanted = {name: list(value.shape) for name, value in state.model.items()}
    wrong = [
        f"{name}: {found.get(name, 'missing')} -> {wanted.get(name, 'missing')}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CheckpointError(
            f"The checkpoint {path} is of another architecture: choose another "
            "--model_dir, or the settings it was trained with. Different "
            f"(checkpoint -> model): {'; '.join(wrong)}"
        )


def non_finite(model):
    """Names of the model's weights that hold NaN or infinity."""
    return [
        weight.path
        for weight in model.trainable_variables
        if not np.isfinite(np.asarray(weight, "float32")).all()
    ]
