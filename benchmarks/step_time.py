"""Time of a training step: ours beside a plain graph of the same model, and PyTorch.

    python benchmarks/step_time.py
    python benchmarks/step_time.py --presets clevr6 --dtypes bfloat16 --batch_size=2
    KERAS_BACKEND=jax python benchmarks/step_time.py --presets tetrominoes

The plain graph is what the paper writes down and the reference release computes (see
`plain_models.py`). Where PyTorch is installed, `--torch` adds a plain module of the
same sizes, compiled. All take turns in one process, so that other load slows all of
them; a ratio is the median over the rounds, with its quartiles. `GFLOP/s` is what
TensorFlow counts in the graph of the step over its time; the line above each table is
the rate of one convolution of 64 channels alone, in the same run.
"""

import argparse
import os
import statistics
import time

from slot_attention_tf.environment import prepare_environment

prepare_environment()

import keras
import numpy as np
from efficiency import POLICIES, make_batch, task_of
from keras import ops
from plain_models import make_plain_model

from slot_attention_tf.models import find_model

# Images of a step: few enough for a laptop.
BATCH_SIZES = {
    "tetrominoes": 16,
    "multi_dsprites": 8,
    "clevr6": 2,
    "clevr10": 16,
    "tetrominoes_cpu": 32,
    "clevr6_cpu": 16,
    "clevr_cpu": 64,
}


def make_steps(name, policy, batch_size, with_torch):
    """Functions that take one training step of each form of the model."""
    task = task_of(name)
    entry = find_model(task, "slot_attention")
    preset = entry.presets[name]
    batch = make_batch(task, preset, batch_size)
    models = {
        "plain graph": make_plain_model(task, preset, policy),
        "ours": entry.model_class(**preset.model_arguments(policy), dtype=policy),
    }
    sizes = {model.count_params() for model in models.values()}
    assert len(sizes) == 1, f"The forms of {name} have different sizes: {sizes}"
    steps = {}
    for form, model in models.items():
        model.compile(preset.make_optimizer(4e-4))
        steps[form] = lambda model=model: float(model.train_on_batch(*batch))
    if with_torch and task == "discovery" and not preset.pixel_decoder:
        from torch_model import make_torch_step

        steps["PyTorch"] = make_torch_step(preset, batch[0], policy != "float32")
    return steps, {form: (model, batch) for form, model in models.items()}


def measure(steps, rounds):
    """Seconds of each form in each round, without two rounds to compile and warm up."""
    times = {form: [] for form in steps}
    for i in range(rounds + 2):
        for form, step in steps.items():
            start = time.perf_counter()
            step()
            if i >= 2:
                times[form].append(time.perf_counter() - start)
    return times


def count_flops(model, batch):
    """Floating point operations of a step as TensorFlow counts them, or None."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    names = ("image", "target")
    inputs = dict(zip(names, map(tf.constant, batch), strict=False))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_per_example(inputs))
        return tape.gradient(loss, model.trainable_variables)

    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    graph = step.get_concrete_function().graph
    return profiler.profile(graph, cmd="op", options=options).total_float_ops


def measure_ceiling(dtype):
    """GFLOP/s of one convolution: 5x5, 64 to 64 channels, 16 maps of 64x64."""
    images = ops.cast(np.ones((16, 64, 64, 64), "float32"), dtype)
    kernel = ops.cast(np.ones((5, 5, 64, 64), "float32"), dtype)

    def convolve(images, kernel):
        return ops.sum(ops.conv(images, kernel, padding="same"))

    if keras.backend.backend() == "jax":
        import jax

        convolve = jax.jit(convolve)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        convolve = tf.function(convolve)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        float(ops.cast(convolve(images, kernel), "float32"))
        times.append(time.perf_counter() - start)
    return 2 * 16 * 64**2 * 25 * 64**2 / min(times) / 1e9


def report(name, dtype, batch_size, rounds, with_torch):
    """Measures and prints one table."""
    steps, models = make_steps(name, POLICIES[dtype], batch_size, with_torch)
    times = measure(steps, rounds)
    print(
        f"\n{name}, {dtype}, {batch_size} images a step, {rounds} rounds; "
        f"a convolution alone: {measure_ceiling(dtype):.0f} GFLOP/s"
    )
    print(f"{'':12}{'ms':>9}{'ours is so many times as fast':>34}{'GFLOP/s':>10}")
    for form, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["ours"], strict=True)]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        flops = count_flops(*models[form]) if form in models else None
        median = statistics.median(seconds)
        rate = "-" if flops is None else f"{flops / median / 1e9:.0f}"
        ratio = f"{middle:.2f} [{low:.2f} to {high:.2f}]"
        print(f"{form:12}{1e3 * median:9.1f}{ratio:>34}{rate:>10}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--presets", nargs="+", choices=BATCH_SIZES, default=BATCH_SIZES
    )
    parser.add_argument("--dtypes", nargs="+", choices=POLICIES, default=["float32"])
    parser.add_argument("--batch_size", type=int, help="images of a step")
    parser.add_argument("--steps", type=int, default=10, help="rounds")
    parser.add_argument("--torch", action="store_true", help="beside PyTorch too")
    arguments = parser.parse_args()
    print(f"{keras.backend.backend()}, {os.cpu_count()} CPUs")
    for name in arguments.presets:
        for dtype in arguments.dtypes:
            batch_size = arguments.batch_size or BATCH_SIZES[name]
            report(name, dtype, batch_size, arguments.steps, arguments.torch)
            keras.backend.clear_session()


if __name__ == "__main__":
    main()
