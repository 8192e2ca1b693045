"""A small folder of results, written by hand."""

import json

import numpy as np

from slot_attention_tf.paper.experiments import AP_SCORES

FG_ARI = {0: 0.9, 1: 0.5}  # Seed 1 makes stripes.
MSE = {0: 0.002, 1: 0.0025}
SWEEP = {1: 0.4, 2: 0.7, 5: 0.85}  # FG-ARI of seed 0 with T iterations.
AP = {0: (0.9, 0.8, 0.5, 0.1, 0.0), 1: (0.7, 0.7, 0.3, 0.2, 0.1)}
ATTENTION = {0: 0.75, 1: 0.65}  # FG-ARI of the attention of set predictors.


def write_row(folder, task, preset, model, seed, evaluation, **more):
    row = {
        "task": task,
        "preset": preset,
        "model_name": model,
        "seed": seed,
        "dataset": "scenes/small/1.0.0",
        "device": "an abacus",
        "seconds": 60 * (1 + seed),
        "settings": {"batch_size": 32},
        "evaluation": {"step": 1000, "dataset": "scenes/small", **evaluation},
        **more,
    }
    path = folder / task / preset / f"{model}_{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row))
    return path


def write_discovery(folder, preset="clevr6_cpu"):
    """Two seeds with sweeps; the first has examples."""
    for seed, fg_ari in FG_ARI.items():
        evaluation = {
            **{"split": "test", "num_slots": 7, "num_iterations": 3, "fg_ari": fg_ari},
            **{"ari": 0.25, "mbo": 0.5, "mse": MSE[seed], "stripes": 0.95 * seed},
            "max_num_objects": 6,
        }
        own = {"dataset": "scenes/small", **evaluation}
        sweeps = [
            {**own, "num_iterations": t, "fg_ari": score - 0.1 * seed}
            for t, score in SWEEP.items()
        ]
        sweeps += [
            {**row, "num_slots": 11, "max_num_objects": 10, "fg_ari": 0.3}
            for row in sweeps
        ]
        sweeps.append({**own, "dataset": "renders", "fg_ari": 0.6 + 0.2 * seed})
        more = {"parameters": 1234, "sweeps": sweeps, "attempts": [{"seed": 9}] * seed}
        path = write_row(
            folder, "discovery", preset, "slot_attention", seed, evaluation, **more
        )
    np.savez_compressed(path.with_name("slot_attention_0.npz"), **examples())


def write_set_prediction(folder):
    """Two seeds of each experiment."""
    for seed, values in AP.items():
        scores = dict(zip(AP_SCORES, values, strict=True))
        scores["attention_fg_ari"] = ATTENTION[seed]
        own = {"num_slots": 6, "num_iterations": 3, "max_num_objects": 6, **scores}
        place = {"dataset": "scenes/small", "split": "validation"}
        own = {**place, **own}
        sweeps = [{**own, "num_iterations": t, "AP@1": 0.1 * t} for t in (1, 2)]
        sweeps += [
            {**own, "num_objects": n, "num_slots": n, "AP@1": 0.05 * n + 0.1 * seed}
            for n in (6, 7)
        ]
        sweeps.append({**sweeps[-1], "dataset": "scenes/other", "AP@1": 0.99})
        for preset in ("clevr_cpu", "clevr6_properties_cpu"):
            names = ("set_prediction", preset, "slot_attention")
            path = write_row(folder, *names, seed, own, sweeps=sweeps)
            np.savez_compressed(path.with_suffix(".npz"), **examples_of_sets())


def examples(seed=0):
    """Two images of 12x10 pixels, three slots, two iterations."""
    rng = np.random.default_rng(seed)

    def pixels(*shape):
        return rng.integers(0, 256, shape, "uint8")

    return {
        "image": pixels(2, 12, 10, 3),
        "reconstruction": pixels(2, 2, 12, 10, 3),
        "masks": pixels(2, 2, 3, 12, 10),
        "slot_images": pixels(2, 3, 12, 10, 3),
        "attention": pixels(2, 2, 3, 6, 5),
    }


def examples_of_sets(seed=0):
    rng = np.random.default_rng(seed)
    target = np.zeros([2, 4, 19], "float16")
    target[:, 0, [0, 3, 5, 7, 10, 18]] = 1
    return {
        "image": rng.integers(0, 256, [2, 12, 10, 3], "uint8"),
        "attention": rng.integers(0, 256, [2, 2, 3, 6, 5], "uint8"),
        "predictions": rng.uniform(size=[2, 3, 19]).astype("float16"),
        "target": target,
    }
