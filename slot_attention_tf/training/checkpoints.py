"""What a checkpoint of a run holds."""

import tensorflow as tf

from slot_attention_tf.training.randomness import seed_states


def training_state(model, optimizer, step):
    """All that a run needs to continue exactly: a `tf.train.Checkpoint`."""
    return tf.train.Checkpoint(
        model=_values(model.weights),
        optimizer=_values(optimizer.variables),
        random_state=_values(seed_states(model)),
        step=step,
    )


def restore_model(model, path):
    """Fills a model's weights from a checkpoint of `training_state`.

    Args:
        model: A built Keras model.
        path: The checkpoint, as `tf.train.latest_checkpoint` names it.

    Returns:
        The step of the checkpoint, an integer.
    """
    step = tf.Variable(0, dtype=tf.int64)
    state = tf.train.Checkpoint(model=_values(model.weights), step=step)
    state.restore(path).expect_partial().assert_existing_objects_matched()
    return int(step)


def _values(variables):
    # Lists of plain tf.Variables: TensorFlow's walk over Keras 3 objects misses
    # some of theirs (seed generators) and names others by accident.
    return [variable.value for variable in variables]
