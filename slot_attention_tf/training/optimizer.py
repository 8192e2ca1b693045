"""The optimizer of a run; imports no TensorFlow."""

from slot_attention_tf.training.schedule import WarmupExponentialDecay


def make_optimizer(preset):
    """The optimizer that a preset asks for, with its schedule and average of weights.

    Args:
        preset: A `Preset`.

    Returns:
        A Keras optimizer, without clipping (see `clip_norm`).

    Raises:
        ValueError: If `ema` is neither None nor between 0 and 1, or `clip_norm` neither
            None nor above 0.
    """
    if preset.clip_norm is not None and not preset.clip_norm > 0:
        raise ValueError(
            "`clip_norm` must be above 0, or None for no clipping. "
            f"Received: clip_norm={preset.clip_norm}"
        )
    schedule = WarmupExponentialDecay(
        preset.learning_rate, preset.warmup_steps, preset.decay_rate, preset.decay_steps
    )
    return _with_average(preset.make_optimizer(schedule), preset.ema)


def _with_average(optimizer, momentum):
    """The same optimizer, keeping a moving average of the weights it trains."""
    if momentum is None:
        return optimizer
    if not 0 < momentum < 1:
        raise ValueError(
            "`ema` must lie between 0 and 1, or be None for no average. "
            f"Received: ema={momentum}"
        )
    averaging = {"use_ema": True, "ema_momentum": momentum}
    return type(optimizer).from_config({**optimizer.get_config(), **averaging})
