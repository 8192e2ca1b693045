"""The learning rate schedule of the paper (Appendix E.1)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class WarmupExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up times exponential decay.

    `learning_rate * min(step / warmup_steps, 1) * decay_rate ** (step / decay_steps)`

    Args:
        learning_rate: Positive float, the rate before decay.
        warmup_steps: Integer, at least 0.
        decay_rate: Float in (0, 1]: what `decay_steps` steps multiply the rate by.
        decay_steps: Integer, at least 1.
    """

    def __init__(self, learning_rate, warmup_steps, decay_rate, decay_steps):
        for name, value, wanted, valid in (
            ("learning_rate", learning_rate, "above 0", learning_rate > 0),
            ("warmup_steps", warmup_steps, "at least 0", warmup_steps >= 0),
            ("decay_rate", decay_rate, "in (0, 1]", 0 < decay_rate <= 1),
            ("decay_steps", decay_steps, "at least 1", decay_steps >= 1),
        ):
            if not valid:
                raise ValueError(f"`{name}` must be {wanted}. Received: {name}={value}")
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.decay_rate = decay_rate
        self.decay_steps = decay_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warmup = ops.minimum(step / max(self.warmup_steps, 1), 1.0)
        if self.warmup_steps == 0:
            warmup = 1.0
        decay = ops.power(self.decay_rate, step / self.decay_steps)
        return self.learning_rate * warmup * decay

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay_rate": self.decay_rate,
            "decay_steps": self.decay_steps,
        }
