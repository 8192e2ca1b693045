"""Figures 3, 4 and 6: what a run shows of a few images."""

import numpy as np

from slot_attention_tf.paper.drawing import Drawing, not_run
from slot_attention_tf.paper.examples import load_examples, to_floats
from slot_attention_tf.paper.experiments import MODEL_TITLES, find_experiment
from slot_attention_tf.paper.runs import find_groups
from slot_attention_tf.visualization import (
    attention_figure,
    iterations_figure,
    set_prediction_figure,
    slots_figure,
)
from slot_attention_tf.visualization.attention import enlarge_maps

_SCORE_OF_MEDIAN = {"discovery": "fg_ari", "set_prediction": "AP@0.5"}


def _median_example(runs, size, experiment, model):
    """The examples of the run with the median score, and a sentence about the run.

    Returns:
        Tuple `(examples, sentence)`, or None if no run has examples.
    """
    score = _SCORE_OF_MEDIAN[experiment.task]
    for group in find_groups(runs, experiment, model, size):
        have = [
            (run.evaluation.get(score, np.nan), run.seed, run)
            for run in group.runs
            if run.examples.exists()
        ]
        if have:
            value, seed, run = sorted(have, key=lambda each: each[:2])[
                (len(have) - 1) // 2
            ]
            label = "FG-ARI" if score == "fg_ari" else score
            median = f", the median of {len(have)} runs" if len(have) > 1 else ""
            sentence = (
                f"{MODEL_TITLES[model]}, seed {seed}{median} ({label} {value:.3f}), on "
                f"{group.dataset}; device: {run.row.get('device', 'unknown')}."
            )
            return load_examples(run.examples, experiment.task), sentence
    return None


def figure_3(runs, size, experiment, model):
    """Slots, attention, iterations; empty frames of the last two for CLEVR6 alone."""
    found = _median_example(runs, size, experiment, model)
    for part, subject, draw, meaning in _parts():
        title = f"Figure 3{part}: {subject}, {experiment.title}"
        name = f"figure_3{part}_{experiment.name}"
        if found is not None and (figure := draw(found[0])) is not None:
            yield Drawing(name, title, f"{meaning} {found[1]}", figure)
        elif part == "a" or experiment.name == "clevr6":
            yield Drawing(name, title, meaning, not_run(size))


def _parts():
    """Letter, subject, function and meaning of each part of Figure 3."""
    return (
        (
            "a",
            "slots",
            _draw_slots,
            "Each slot's image times its mask, framed in the colour of its segment. A "
            "background that slots share is in pieces.",
        ),
        (
            "b",
            "attention of each iteration",
            _draw_attention,
            "Where each slot attends: white is all of a position's attention. Slots "
            "keep the colours of their frames.",
        ),
        (
            "c",
            "reconstruction of each iteration",
            _draw_iterations,
            "Decoded after each iteration t, from the same initial slots.",
        ),
    )


def slots_of_others(runs, size, experiment, model):
    """Figure 3a of the models that the paper compares with."""
    found = _median_example(runs, size, experiment, model)
    if found is not None:
        yield Drawing(
            f"figure_3a_{experiment.name}_{model}",
            f"Slots of {MODEL_TITLES[model]}, {experiment.title}",
            f"As Figure 3a, for a model that the paper compares with. {found[1]}",
            _draw_slots(found[0]),
        )


def figure_4(runs, size):
    """Greyscale images, slots without their masks."""
    meaning = (
        "Without colour, objects can still be told apart. Slots are shown whole, not "
        "multiplied by their masks."
    )
    experiment = find_experiment("clevr6_grayscale")
    found = _median_example(runs, size, experiment, "slot_attention")
    figure = not_run(size) if found is None else _draw_slots(found[0], masked=False)
    sentence = meaning if found is None else f"{meaning} {found[1]}"
    return Drawing("figure_4", "Figure 4: greyscale CLEVR6", sentence, figure)


def figure_6(runs, size):
    """Attention over the image, with the properties that each slot predicts."""
    meaning = (
        "The image, lit where a slot attends; below it the predicted properties and "
        "those of the matched object: green if size, material, shape and colour agree, "
        "red if not, grey for slots that rightly report no object."
    )
    experiment = find_experiment("clevr10")
    found = _median_example(runs, size, experiment, "slot_attention")
    figure = None if found is None else _draw_sets(found[0])
    sentence = meaning if figure is None else f"{meaning} {found[1]}"
    figure = figure or not_run(size)
    return Drawing("figure_6", "Figure 6: attention and properties", sentence, figure)


def _draw_slots(examples, masked=True):
    return slots_figure(
        to_floats(examples["image"]),
        to_floats(examples["reconstruction"][:, -1]),
        to_floats(examples["slot_images"]),
        examples["masks"][:, -1, ..., None] / 255,
        masked=masked,
    )


def _draw_attention(examples):
    """The first image alone: each takes a row for every iteration."""
    if "attention" not in examples:
        return None
    maps = examples["attention"][:1]
    return attention_figure(
        to_floats(examples["image"][:1]), *_as_positions(maps / 255)
    )


def _draw_iterations(examples):
    names = ("image", "reconstruction")
    pictures = (to_floats(examples[name]) for name in names)
    return iterations_figure(*pictures, examples["masks"] / 255)


def _draw_sets(examples):
    if "attention" not in examples:
        return None
    size = examples["image"].shape[1:3]
    maps = enlarge_maps(examples["attention"][:, -1:] / 255, size)
    attention, grid = _as_positions(maps)
    predictions, targets = (
        examples[name].astype("float64") for name in ("predictions", "target")
    )
    images = to_floats(examples["image"])
    return set_prediction_figure(images, attention, predictions, targets, grid)


def _as_positions(maps):
    """Maps `[B, T, K, h, w]` as attention `[B, T, h * w, K]`, and `(h, w)`."""
    grid = maps.shape[-2:]
    return np.moveaxis(maps.reshape(*maps.shape[:3], -1), 2, 3), grid
