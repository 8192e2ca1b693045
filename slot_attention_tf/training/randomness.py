"""The random state of a model: one small integer variable per seed generator."""

import contextlib

import keras


def seed_states(model):
    """The state variables `[2]` (seed, counter) of a model's seed generators."""
    if hasattr(model, "random_state"):  # A loaded SavedModel has no Keras variables.
        return model.random_state
    return [
        variable
        for variable in model.non_trainable_variables
        if variable.path.endswith("seed_generator_state")
    ]


@contextlib.contextmanager
def fixed_randomness(model, seed=0):
    """Inside, the model draws the same random numbers each time; then as before.

    Evaluation in the course of a training run thus neither depends on the run's
    random numbers nor changes them.
    """
    states = seed_states(model)
    before = [keras.ops.convert_to_numpy(state) for state in states]
    for state in states:
        state.assign([seed, 0])
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)
