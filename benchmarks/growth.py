"""How the cost of Slot Attention grows with its sizes: forward and backward.

    python benchmarks/growth.py

The layer alone, on inputs `[B, N, 64]`. Each size is doubled and quadrupled while the
others stay; the variants take turns in one process. The last line is the layer as the
paper writes it down, with keys and values of all inputs. Section 2.1 of the paper
counts O(T N K D) for the attention; projections and layer norms of all inputs cost
O(N D^2).
"""

import argparse
import time

from slot_attention_tf.environment import prepare_environment

prepare_environment()

import keras
import numpy as np
from plain_models import PlainSlotAttention

import slot_attention_tf as sa

BASE = {"B": 8, "N": 1024, "K": 8, "T": 3}


def make_step(sizes, layer_class=sa.SlotAttention):
    """A function that takes one step of a model that is nothing but the layer."""
    inputs = keras.Input((sizes["N"], 64))
    layer = layer_class(sizes["T"], sizes["K"], 64, 128)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(sizes["B"], sizes["N"], 64)).astype("float32")
    y = np.zeros((sizes["B"], sizes["K"], 64), "float32")
    return lambda: model.train_on_batch(x, y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=15, help="rounds")
    arguments = parser.parse_args()
    variants = {"base": BASE}
    for size in BASE:
        for factor in (2, 4):
            variants[f"{size} x{factor}"] = {**BASE, size: factor * BASE[size]}
    steps = {name: make_step(sizes) for name, sizes in variants.items()}
    steps["plain"] = make_step(BASE, PlainSlotAttention)
    times = {name: [] for name in steps}
    for i in range(arguments.steps + 2):  # Two to compile and warm up.
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if i >= 2:
                times[name].append(time.perf_counter() - start)
    print(f"{keras.backend.backend()}, base {BASE}, {arguments.steps} rounds")
    print(f"{'':8}{'ms':>9}{'so many times the base':>27}")
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["base"], strict=True)]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        ratio = f"{middle:.2f} [{low:.2f} to {high:.2f}]"
        print(f"{name:8}{1e3 * np.median(seconds):9.1f}{ratio:>27}")


if __name__ == "__main__":
    main()
