"""Cost of a training step of each model, as a ratio to Slot Attention.

    python benchmarks/efficiency.py --preset=tetrominoes_cpu
    python benchmarks/efficiency.py --preset=clevr6 --batch_size=1 --steps=3
    KERAS_BACKEND=jax python benchmarks/efficiency.py --preset=clevr10 --batch_size=4
    python benchmarks/efficiency.py --preset=clevr6 --models slot_attention recomputed

The paper trains Slot Attention on CLEVR6 with 64 images a step on one GPU of 16 GB for
24 hours, where IODINE takes 4 images and 7 days (Section 4.1). This measures, with the
same number of images for all models that have the preset:

- the time of a step (`train_on_batch`: forward, loss, gradients, update). The models
  take turns in one process, so that other load slows all of them; the ratio is the
  median over the rounds;
- the peak memory of a step, each model in a process of its own: on a GPU what
  TensorFlow or JAX allocated, on a CPU the growth of the resident set.

`recomputed` is Slot Attention that keeps nothing of the decoder but its output, and
decodes again for the gradients (`--recompute_decoder` of the training script).
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from slot_attention_tf.environment import prepare_environment

prepare_environment()

import keras
import numpy as np

from slot_attention_tf.models.registry import find_model, model_names

TASKS = ("discovery", "set_prediction")
OURS = "slot_attention"
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
RECOMPUTED = "recomputed"


def make_batch(task, preset, batch_size):
    """Random images and, for set prediction, targets: what `train_on_batch` takes."""
    rng = np.random.default_rng(0)
    shape = (batch_size, *preset.resolution, preset.num_channels)
    batch = [rng.uniform(-1, 1, shape).astype("float32")]
    if task == "set_prediction":
        targets = rng.integers(0, 2, (batch_size, preset.num_slots, 19))
        batch.append(targets.astype("float32"))
    return batch


def make_step(task, name, preset_name, batch_size):
    """A function that trains a model on one random batch, and the model's size."""
    entry = find_model(task, OURS if name == RECOMPUTED else name)
    preset = entry.presets[preset_name]
    if name == RECOMPUTED:
        preset = dataclasses.replace(preset, recompute_decoder=True)
    model = entry.model_class(**preset.model_arguments())
    model.compile(preset.make_optimizer(preset.learning_rate))
    batch = make_batch(task, preset, batch_size)
    return lambda: float(model.train_on_batch(*batch)), model.count_params()


def used_memory():
    """The most bytes held so far, on the GPU if there is one."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform == "gpu":
            return device.memory_stats()["peak_bytes_in_use"]
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def print_memory(arguments):
    """What the process of one model does: prints the bytes of two steps."""
    before = used_memory()
    step, _ = make_step(
        arguments.task, arguments.only, arguments.preset, arguments.batch_size
    )
    step()
    step()
    print(json.dumps(used_memory() - before))


def measure_memory(name, arguments):
    """Peak bytes of a step of a model, measured in a process of its own."""
    command = [sys.executable, __file__, f"--only={name}", f"--task={arguments.task}"]
    command += [f"--preset={arguments.preset}", f"--batch_size={arguments.batch_size}"]
    command.append(f"--dtype={arguments.dtype}")
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(output.stdout.splitlines()[-1])


def measure_times(steps, rounds):
    """Seconds of `rounds` steps of each model, which take turns."""
    times = {name: [] for name in steps}
    for i in range(rounds + 2):  # Two to compile and warm up.
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if i >= 2:
                times[name].append(time.perf_counter() - start)
    return times


def task_of(preset):
    """The task whose Slot Attention has the preset."""
    for task in TASKS:
        if preset in find_model(task, "slot_attention").presets:
            return task
    known = [
        name for task in TASKS for name in find_model(task, "slot_attention").presets
    ]
    sys.exit(f"--preset must be one of {', '.join(known)}. Received: {preset!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="tetrominoes_cpu")
    parser.add_argument("--batch_size", type=int, default=8, help="images of a step")
    parser.add_argument("--steps", type=int, default=7, help="timed steps of each")
    parser.add_argument("--dtype", default="float32", choices=POLICIES)
    parser.add_argument("--models", nargs="*", help="these only, slot_attention first")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keras.config.set_dtype_policy(POLICIES[arguments.dtype])
    arguments.task = arguments.task or task_of(arguments.preset)
    if arguments.only:
        print_memory(arguments)
        return
    names = arguments.models or [
        name
        for name in model_names(arguments.task)
        if arguments.preset in find_model(arguments.task, name).presets
    ]
    if OURS not in names:
        parser.error(
            f"--models must hold {OURS}, with which the others are compared. "
            f"Received: {', '.join(names)}"
        )
    memory = {name: measure_memory(name, arguments) for name in names}
    steps, parameters = {}, {}
    for name in names:
        steps[name], parameters[name] = make_step(
            arguments.task, name, arguments.preset, arguments.batch_size
        )
    times = measure_times(steps, arguments.steps)
    print(
        f"{arguments.preset}, {arguments.dtype}, "
        f"{arguments.batch_size} images a step, median of "
        f"{arguments.steps} steps, {keras.backend.backend()}, {os.cpu_count()} CPUs"
    )
    print(
        f"{'model':16}{'parameters':>12}{'ms an image':>13}{'ratio':>8}"
        f"{'MB a step':>11}{'ratio':>8}"
    )
    for name in names:
        ratio = statistics.median(
            a / b for a, b in zip(times[name], times[OURS], strict=True)
        )
        per_image = 1e3 * statistics.median(times[name]) / arguments.batch_size
        print(
            f"{name:16}{parameters[name]:12,}{per_image:13.2f}{ratio:8.2f}"
            f"{memory[name] / 1e6:11.0f}{memory[name] / memory[OURS]:8.2f}"
        )


if __name__ == "__main__":
    main()
