"""The random state of a model: one small integer variable per seed generator."""

import contextlib

import tensorflow as tf


def seed_states(model):
    """The state variables `[2]` (seed, counter) of a model's seed generators.

    Returns:
        A list of int64 `tf.Variable`s, in a fixed order. On several replicas each holds
        one value per replica.
    """
    weights = {id(weight) for weight in model.weights}
    return [
        variable.value
        for variable in model.variables
        # Keras counts random states among the variables, but not among the weights.
        if id(variable) not in weights and variable.dtype == "int64"
    ]


@contextlib.contextmanager
def fixed_randomness(model, seed=0):
    """Inside, the model draws the same random numbers each time; then as before.

    Evaluation in the course of a training run thus neither depends on the run's
    random numbers nor changes them, on any number of replicas.
    """
    states = [each for state in seed_states(model) for each in _of_replicas(state)]
    before = [state.numpy() for state in states]
    for state in states:
        state.assign([seed, 0])
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)


def _of_replicas(state):
    """The variable of each replica; of a variable on one device, itself."""
    strategy = getattr(state, "distribute_strategy", tf.distribute.get_strategy())
    return strategy.experimental_local_results(state)
