"""The paper's tables from runs: for a page to show, and as records for CSV."""

import dataclasses

import numpy as np

from slot_attention_tf.paper.experiments import (
    AP_SCORES,
    ATTENTION_SCORE,
    EXPERIMENTS,
    MODEL_TITLES,
)
from slot_attention_tf.paper.runs import describe_sources, find_groups
from slot_attention_tf.results import SCORES

NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: String, the stem of its file.
        title: String.
        sentence: String, what it shows and of which rows.
        header: List of strings.
        lines: List of lists of cells. A cell is a list of `(kind, text)`, one for each
            line of text in it, with the kind `"value"`, `"note"`, `"failed"` or
            `"paper"`.
        records: List of dictionaries with the same keys, the lines of its CSV file.
    """

    name: str
    title: str
    sentence: str
    header: list
    lines: list
    records: list


# File, title and meaning of the score of each table of object discovery.
_DISCOVERY = {
    "fg_ari": (
        "table_1",
        "Table 1: objects found (FG-ARI)",
        "Adjusted Rand index of the masks over foreground pixels: 1 is perfect.",
    ),
    "ari": (
        "table_1_ari",
        "ARI with the background",
        "Adjusted Rand index of the masks over all pixels: low where the background is "
        "in pieces, which FG-ARI does not see.",
    ),
    "mbo": (
        "table_1_mbo",
        "Mean best overlap (mBO)",
        "For each object the intersection over union with the slot that fits best.",
    ),
    "mse": (
        "table_1_mse",
        "Reconstruction error (MSE)",
        "Mean squared error of the reconstruction; images lie in [-1, 1].",
    ),
}
_SPREAD = (
    "Mean ± standard deviation over seeds, failed ones included; below it the paper's "
    "value."
)


def discovery_table(runs, size, score):
    """Table 1 for a score: a column for each dataset, a line for each model."""
    name, title, meaning = _DISCOVERY[score]
    experiments = [each for each in EXPERIMENTS if each.task == "discovery"]
    models = dict.fromkeys(model for each in experiments for model in each.models)
    lines, records, used = [], [], []
    for model in models:
        line = [[("value", MODEL_TITLES[model])]]
        for experiment in experiments:
            if model not in experiment.models:
                line.append([])
                continue
            groups = find_groups(runs, experiment, model, size)
            line.append(_cell(experiment, model, groups, score))
            records += _records(experiment, model, size, groups, score)
            used += groups
        lines.append(line)
    sentence = f"{meaning} {_SPREAD} {describe_sources(used)}"
    header = ["Model", *(each.title for each in experiments)]
    return Table(name, title, sentence.strip(), header, lines, records)


def set_prediction_table(runs, size):
    """One column for each distance, one line for each dataset and model."""
    lines, records, used = [], [], []
    for experiment in EXPERIMENTS:
        if experiment.task != "set_prediction":
            continue
        for model in experiment.models:
            groups = find_groups(runs, experiment, model, size)
            line = [[("value", MODEL_TITLES[model]), ("note", experiment.title)]]
            for score in AP_SCORES:
                line.append(_cell(experiment, model, groups, score))
                records += _records(experiment, model, size, groups, score)
            lines.append(line)
            used += groups
    sentence = (
        "Average precision of the predicted sets, by the largest distance at which an "
        f"object counts as found. {_SPREAD} {describe_sources(used)}"
    )
    title = "Set prediction: average precision"
    header = ["Model", *AP_SCORES]
    return Table("table_ap", title, sentence.strip(), header, lines, records)


def attention_table(runs, size):
    """How well attention finds the objects: a line for each experiment."""
    model, score = "slot_attention", ATTENTION_SCORE
    lines, records, used = [], [], []
    for experiment in EXPERIMENTS:
        groups = find_groups(runs, experiment, model, size)
        cell = _cell(experiment, model, groups, score)
        lines.append([[("value", experiment.title)], cell])
        records += _records(experiment, model, size, groups, score)
        used += groups
    sentence = (
        "Adjusted Rand index over foreground pixels of the last iteration's attention "
        "of Slot Attention. In set prediction the true masks are reduced to the size "
        "of the attention (32x32 in the paper); in object discovery the attention is "
        f"enlarged to the image. {_SPREAD} {describe_sources(used)}"
    )
    title = "Objects found by the attention (FG-ARI)"
    header = ["Experiment", "FG-ARI of the attention"]
    return Table("table_attention", title, sentence.strip(), header, lines, records)


def _cell(experiment, model, groups, score):
    """What the page says of one score of one model."""
    digits = SCORES[experiment.task].get(score, 3)
    lines = []
    for group in groups:
        values = group.scores(score)
        lines.append(("value", format_spread(values, digits)))
        seeds = ", ".join(map(str, group.seeds))
        note = f"{'seed' if len(group.seeds) == 1 else 'seeds'} {seeds}"
        if group.num_starts > 1:
            note += f", best of {group.num_starts} starts"
        if group.num_restarts:
            note += f", restarted {group.num_restarts}x"
        lines.append(("note", note))
        failed = ", ".join(map(str, group.failures()))
        if failed:
            count = f"{len(group.failures())} of {len(group.seeds)}"
            lines.append(("failed", f"{count} failed (seed {failed})"))
        if len(groups) > 1:
            lines.append(("note", describe_group(group)))
    if not groups:
        lines.append(("note", NOT_RUN))
    if score in experiment.reported.get(model, {}):
        mean, spread = experiment.reported[model][score]
        text = f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
        lines.append(("paper", f"paper {text}"))
    return lines


def _records(experiment, model, size, groups, score):
    """What the CSV file says of one score of one model."""
    reported = experiment.reported.get(model, {}).get(score, (None, None))
    base = {
        "experiment": experiment.name,
        "model": model,
        "preset": experiment.presets[size],
        "score": score,
    }
    paper = dict(zip(("paper_mean", "paper_std"), reported, strict=True))
    records = []
    for group in groups:
        values = group.scores(score)
        failures = group.failures()
        records.append(
            {
                **base,
                "dataset": group.dataset,
                "steps": group.steps,
                **summarize(values),
                "num_runs": len(group.runs),
                "seeds": " ".join(map(str, group.seeds)),
                "num_failed": len(failures),
                "failed_seeds": " ".join(map(str, failures)),
                "num_starts": group.num_starts,
                "num_restarts": group.num_restarts,
                **paper,
                "note": "; ".join(
                    f"seed {seed}: {' '.join(signs)}"
                    for seed, signs in failures.items()
                ),
            }
        )
    if not groups:
        keys = ("dataset", "steps", "mean", "std", "num_runs", "seeds")
        keys += ("num_failed", "failed_seeds", "num_starts", "num_restarts")
        records.append({**base, **dict.fromkeys(keys), **paper, "note": NOT_RUN})
    return records


def summarize(values):
    """Mean and standard deviation; None for the deviation of a single run."""
    spread = float(np.std(values)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": spread}


def format_spread(values, digits):
    """Mean and deviation of the scores of runs, in words."""
    mean = np.mean(values)
    if not np.isfinite(mean):
        return "no score"
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"


def describe_group(group):
    """What tells a group of runs from others of its model."""
    steps = "" if group.steps is None else f", {group.steps:,} steps"
    return f"{group.dataset}{steps}"
