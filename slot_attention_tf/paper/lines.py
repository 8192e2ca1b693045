"""Figures 2 and 5: scores against iterations, distances and numbers of objects."""

import numpy as np

from slot_attention_tf.paper.drawing import Drawing, not_run
from slot_attention_tf.paper.experiments import (
    AP_SCORES,
    DISCOVERY_IN_PICTURES,
    MODEL_TITLES,
    find_experiment,
)
from slot_attention_tf.paper.runs import describe_sources, find_groups
from slot_attention_tf.paper.tables import NOT_RUN, describe_group, summarize
from slot_attention_tf.visualization import lines_figure

_DISTANCES = ("∞", "1", "0.5", "0.25", "0.125")
_BAND = "Mean over seeds, in a band of one standard deviation."


def figure_2(runs, size):
    """FG-ARI against iterations; CLEVR6 always, other datasets where there are rows."""
    title = "Figure 2: more iterations at test time"
    meaning = "FG-ARI with other numbers of iterations T and slots K than in training."
    for name in DISCOVERY_IN_PICTURES:
        experiment = find_experiment(name)
        series, used, reported = {}, [], {}
        groups = find_groups(runs, experiment, "slot_attention", size)
        for group in groups:
            lines = _lines_by_setting(group)
            used += [group] if lines else []
            as_trained = _setting(group, group.runs[0].evaluation)
            for setting, line in lines.items():
                label = _with_group(setting, group, groups)
                series[label] = line
                if setting == as_trained:  # The paper trains with T = 3.
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


def _lines_by_setting(group):
    """Lines over `T` of at least two points, by number of slots and objects."""
    settings = dict.fromkeys(
        _setting(group, each)
        for run in group.runs
        for each in run.evaluations
        if each.get("num_objects") is None
    )
    lines = {
        setting: _sweep(
            group,
            "num_iterations",
            "fg_ari",
            lambda each, setting=setting: (
                each.get("num_objects") is None and _setting(group, each) == setting
            ),
        )
        for setting in settings
    }
    return {setting: line for setting, line in lines.items() if len(line[0]) > 1}


def _setting(group, evaluation):
    """Everything but `T` that an evaluation was made with, in words."""
    words = [f"K = {evaluation.get('num_slots')}"]
    if evaluation.get("max_num_objects"):
        words.append(f"up to {evaluation['max_num_objects']} objects")
    own = group.runs[0].evaluation
    words += [
        str(evaluation.get(key))
        for key in ("dataset", "split")
        if evaluation.get(key) != own.get(key)
    ]
    return ", ".join(words)


def _sweep(group, x_name, score, keep):
    """A score of the evaluations that are kept, against one of their settings.

    Returns:
        Tuple of the values of the setting, sorted, and a float array `[R, X]` with NaN
        where a run has no such evaluation. Runs with fewer evaluations than others are
        left out: all points of a line are of the same seeds.
    """
    points = [
        {
            each[x_name]: each[score]
            for each in run.evaluations
            if keep(each) and each.get(x_name) and each.get(score) is not None
        }
        for run in group.runs
    ]
    most = max(map(len, points))
    points = [of_run for of_run in points if len(of_run) == most]
    x = sorted({place for of_run in points for place in of_run})
    values = [[of_run.get(place, np.nan) for place in x] for of_run in points]
    return x, np.array(values, "float64").reshape(len(points), len(x))


def figure_5a(runs, size):
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


def figure_5b(runs, size):
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


def figure_5c(runs, size):
    """AP on scenes of exactly N objects, with as many slots."""

    def keep(group):
        own = ("num_iterations", "dataset", "split")
        return lambda each: (
            each.get("num_objects")
            and each["num_slots"] == each["num_objects"]
            and all(each.get(k) == group.runs[0].evaluation.get(k) for k in own)
        )

    return _figure_by_distance(
        runs,
        size,
        ("figure_5c", "Figure 5 (right): average precision against objects"),
        "Slot Attention trained on at most 6 objects, on scenes of exactly N objects "
        "with K = N slots.",
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
        return Drawing(name, title, sentence.strip(), not_run(size), records)
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
