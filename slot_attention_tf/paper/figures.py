"""The paper's figures from runs."""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

from slot_attention_tf.paper.examples import load_examples, to_floats
from slot_attention_tf.paper.experiments import (
    AP_SCORES,
    MODEL_TITLES,
    find_experiment,
)
from slot_attention_tf.paper.runs import describe_sources, find_groups
from slot_attention_tf.paper.tables import NOT_RUN, describe_group, summarize
from slot_attention_tf.visualization import (
    attention_figure,
    empty_figure,
    iterations_figure,
    lines_figure,
    set_prediction_figure,
    slots_figure,
)
from slot_attention_tf.visualization.attention import enlarge_maps

_DISTANCES = ("∞", "1", "0.5", "0.25", "0.125")
_PICTURED = ("clevr6", "multi_dsprites", "tetrominoes")
_SCORE_OF_MEDIAN = {"discovery": "fg_ari", "set_prediction": "AP@0.5"}


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure with what a page says of it.

    Attributes:
        name: String, the stem of its files.
        title: String.
        sentence: String, what it shows and of which rows.
        figure: A `matplotlib.figure.Figure`.
        records: List of dictionaries with the same keys, its points for a CSV file; None
            for pictures.
    """

    name: str
    title: str
    sentence: str
    figure: Figure
    records: list | None = None


def all_figures(runs, size):
    """Yields every `Drawing`, of runs with the presets of a size."""
    yield from _figure_2(runs, size)
    for name in _PICTURED:
        yield from _figure_3(runs, size, find_experiment(name), "slot_attention")
    for name in _PICTURED:
        experiment = find_experiment(name)
        for model in experiment.models[1:]:
            yield from _slots_of_others(runs, size, experiment, model)
    yield _figure_4(runs, size)
    yield _figure_5a(runs, size)
    yield _figure_5b(runs, size)
    yield _figure_5c(runs, size)
    yield _figure_6(runs, size)


def _not_run(size):
    return empty_figure(f"{NOT_RUN}: make paper SIZE={size}")


# Lines.


def _figure_2(runs, size):
    """FG-ARI against iterations; CLEVR6 always, other datasets where there are rows."""
    title = "Figure 2: more iterations at test time"
    meaning = "FG-ARI with other numbers of iterations T and slots K than in training."
    for name in _PICTURED:
        experiment = find_experiment(name)
        series, used, reported = {}, [], {}
        groups = find_groups(runs, experiment, "slot_attention", size)
        for group in groups:
            lines = _lines_by_setting(group)
            used += [group] if lines else []
            for index, (label, line) in enumerate(lines.items()):
                label = _with_group(label, group, groups)
                series[label] = line
                if index == 0:  # As it was trained: T = 3 in the paper.
                    value = experiment.reported["slot_attention"]["fg_ari"][0]
                    reported[label] = ([3], [value])
        if series or name == "clevr6":
            suffix = "" if name == "clevr6" else f"_{name}"
            labels = ("Iterations T", "FG-ARI")
            yield _line_drawing(
                f"figure_2{suffix}",
                f"{title}, {experiment.title}",
                f"{meaning} {_BAND} {describe_sources(used)}",
                lambda series=series, reported=reported, labels=labels: lines_figure(
                    series, *labels, reported=reported
                ),
                series,
                size,
            )


_BAND = "Mean over seeds, in a band of one standard deviation."


def _lines_by_setting(group):
    """Lines over `T`, at least two points each, for each number of slots and objects."""
    keys = ("num_slots", "max_num_objects", "dataset", "split")
    settings = dict.fromkeys(
        tuple(each.get(key) for key in keys)
        for run in group.runs
        for each in run.evaluations
        if each.get("num_objects") is None
    )
    own_data = group.runs[0].evaluation.get("dataset")
    lines = {}
    for setting in settings:
        num_slots, max_num_objects, dataset, _ = setting
        x, values = _sweep(
            group,
            "num_iterations",
            "fg_ari",
            lambda each, setting=setting: each.get("num_objects") is None
            and tuple(each.get(key) for key in keys) == setting,
        )
        if len(x) > 1:
            label = f"K = {num_slots}"
            if max_num_objects:
                label += f", up to {max_num_objects} objects"
            if dataset != own_data:
                label += f", {dataset}"
            lines[label] = (x, values)
    return lines


def _sweep(group, x_name, score, keep):
    """A score of the evaluations that are kept, against one of their settings.

    Returns:
        Tuple of the values of the setting, sorted, and a float array `[R, X]` with NaN
        where a run has no such evaluation.
    """
    points = [
        {
            each[x_name]: each[score]
            for each in run.evaluations
            if keep(each) and each.get(x_name) and each.get(score) is not None
        }
        for run in group.runs
    ]
    x = sorted({place for of_run in points for place in of_run})
    values = [[of_run.get(place, np.nan) for place in x] for of_run in points]
    return x, np.array(values, "float64").reshape(len(points), len(x))


def _figure_5a(runs, size):
    """AP against distance for all models."""
    experiment = find_experiment("clevr10")
    series, used, reported = {}, [], {}
    x = list(range(len(AP_SCORES)))
    for model in experiment.models:
        groups = find_groups(runs, experiment, model, size)
        for group in groups:
            label = _with_group(MODEL_TITLES[model], group, groups)
            series[label] = (x, np.stack([group.scores(s) for s in AP_SCORES], axis=1))
            if model in experiment.reported:
                values = [experiment.reported[model][s][0] for s in AP_SCORES]
                reported[label] = (x, values)
        used += groups
    return _line_drawing(
        "figure_5a",
        "Figure 5 (left): average precision against distance",
        "An object counts as found up to that distance from the true position. "
        f"{_BAND} Dashed: the paper. {describe_sources(used)}",
        lambda: lines_figure(
            series,
            "Distance threshold",
            "Average precision",
            tick_labels=_DISTANCES,
            reported=reported,
        ),
        series,
        size,
    )


def _figure_5b(runs, size):
    """AP against iterations, for each distance."""
    own = ("num_slots", "max_num_objects", "dataset", "split")

    def keep(group):
        return lambda each: (
            each.get("num_objects") is None
            and all(each.get(k) == group.runs[0].evaluation.get(k) for k in own)
        )

    return _figure_by_distance(
        runs,
        size,
        ("figure_5b", "Figure 5 (centre): average precision against iterations"),
        "Slot Attention with other numbers of iterations T than in training.",
        (find_experiment("clevr10"), "num_iterations", "Iterations T"),
        keep,
    )


def _figure_5c(runs, size):
    """AP on scenes of exactly N objects, with as many slots."""

    def keep(group):
        trained_with = group.runs[0].evaluation.get("num_iterations")
        return lambda each: (
            each.get("num_objects")
            and each["num_slots"] == each["num_objects"]
            and each.get("num_iterations") == trained_with
        )

    return _figure_by_distance(
        runs,
        size,
        ("figure_5c", "Figure 5 (right): average precision against objects"),
        "Slot Attention trained on at most 6 objects, on scenes of exactly N objects with "
        "K = N slots.",
        (find_experiment("clevr6_properties"), "num_objects", "Objects N, slots K = N"),
        keep,
    )


def _figure_by_distance(runs, size, names, meaning, axis, keep):
    """One line for each distance."""
    experiment, x_name, x_label = axis
    series, used = {}, []
    groups = find_groups(runs, experiment, "slot_attention", size)
    for group in groups:
        for score in AP_SCORES:
            x, values = _sweep(group, x_name, score, keep(group))
            if len(x) > 1:
                series[_with_group(score, group, groups)] = (x, values)
                used += [] if group in used else [group]
    return _line_drawing(
        *names,
        f"{meaning} {_BAND} {describe_sources(used)}",
        lambda: lines_figure(series, x_label, "Average precision"),
        series,
        size,
    )


def _line_drawing(name, title, sentence, draw, series, size):
    """A drawing of lines with its points, or an empty one."""
    if not series:
        empty = dict.fromkeys(("line", "x", "mean", "std", "num_runs"))
        records = [{**empty, "note": NOT_RUN}]
        return Drawing(name, title, sentence.strip(), _not_run(size), records)
    records = [
        {
            "line": label,
            "x": place,
            **summarize(known),
            "num_runs": len(known),
            "note": "",
        }
        for label, (x, values) in series.items()
        for place, column in zip(x, values.T, strict=True)
        if len(known := column[np.isfinite(column)])
    ]
    return Drawing(name, title, sentence.strip(), draw(), records)


def _with_group(label, group, groups):
    return label if len(groups) == 1 else f"{label}, {describe_group(group)}"


# Pictures.


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
            sentence = (
                f"{MODEL_TITLES[model]}, seed {seed}, the median of {len(have)} by "
                f"{label} ({value:.3f}), on {group.dataset}; device: "
                f"{run.row.get('device', 'unknown')}."
            )
            return load_examples(run.examples, experiment.task), sentence
    return None


def _figure_3(runs, size, experiment, model):
    """Slots, attention and iterations; CLEVR6 always, others where there are examples."""
    parts = (
        ("a", "slots", _draw_slots, "Each slot's image times its mask, framed in the "
         "colour that its segment has in the segmentation."),
        ("b", "attention of each iteration", _draw_attention, "Where each slot attends: "
         "white is all of a position's attention. Slots keep their frames' colours."),
        ("c", "reconstruction of each iteration", _draw_iterations, "Decoded after each "
         "iteration t, from the same initial slots."),
    )  # fmt: skip
    found = _median_example(runs, size, experiment, model)
    for part, subject, draw, meaning in parts:
        title = f"Figure 3{part}: {subject}, {experiment.title}"
        name = f"figure_3{part}_{experiment.name}"
        if found is not None and (figure := draw(found[0])) is not None:
            yield Drawing(name, title, f"{meaning} {found[1]}", figure)
        elif part == "a" or experiment.name == "clevr6":
            yield Drawing(name, title, meaning, _not_run(size))


def _slots_of_others(runs, size, experiment, model):
    """Figure 3a of the models that the paper compares with."""
    found = _median_example(runs, size, experiment, model)
    if found is not None:
        yield Drawing(
            f"figure_3a_{experiment.name}_{model}",
            f"Slots of {MODEL_TITLES[model]}, {experiment.title}",
            f"As Figure 3a, for a model that the paper compares with. {found[1]}",
            _draw_slots(found[0]),
        )


def _figure_4(runs, size):
    """Greyscale images, slots without their masks."""
    meaning = (
        "Without colour, objects can still be told apart. Slots are shown whole, not "
        "multiplied by their masks."
    )
    experiment = find_experiment("clevr6_grayscale")
    found = _median_example(runs, size, experiment, "slot_attention")
    figure = _not_run(size) if found is None else _draw_slots(found[0], masked=False)
    sentence = meaning if found is None else f"{meaning} {found[1]}"
    return Drawing("figure_4", "Figure 4: greyscale CLEVR6", sentence, figure)


def _figure_6(runs, size):
    """Attention over the image, with the properties that each slot predicts."""
    meaning = (
        "The image, lit where a slot attends; below it the predicted properties and those "
        "of the matched object: green if size, material, shape and colour agree, red if "
        "not, grey for slots that report no object."
    )
    experiment = find_experiment("clevr10")
    found = _median_example(runs, size, experiment, "slot_attention")
    figure = None if found is None else _draw_sets(found[0])
    sentence = meaning if figure is None else f"{meaning} {found[1]}"
    figure = figure or _not_run(size)
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
