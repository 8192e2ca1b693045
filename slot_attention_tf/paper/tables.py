"""The paper's tables from runs: for a page to show, and as records for CSV."""

import dataclasses

import numpy as np

from slot_attention_tf.paper.experiments import AP_SCORES, EXPERIMENTS, MODEL_TITLES
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


def all_tables(runs, size):
    """Returns every `Table`, of runs with the presets of a size."""
    return [
        _discovery_table(
            runs,
            size,
            "table_1",
            "Table 1: objects found (FG-ARI)",
            "fg_ari",
            "Adjusted Rand index of the masks over foreground pixels: 1 is perfect.",
        ),
        _discovery_table(
            runs,
            size,
            "table_1_ari",
            "ARI with the background",
            "ari",
            "Adjusted Rand index of the masks over all pixels: low where the background "
            "is in pieces, which FG-ARI does not see.",
        ),
        _discovery_table(
            runs,
            size,
            "table_1_mbo",
            "Mean best overlap (mBO)",
            "mbo",
            "For each object the intersection over union with the slot that fits best.",
        ),
        _discovery_table(
            runs,
            size,
            "table_1_mse",
            "Reconstruction error (MSE)",
            "mse",
            "Mean squared error of the reconstruction; images lie in [-1, 1].",
        ),
        _set_prediction_table(runs, size),
        _cost_table(runs, size),
        _other_data_table(runs, size),
    ]


def _discovery_table(runs, size, name, title, score, meaning):
    """One column for each dataset, one line for each model."""
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


_SPREAD = (
    "Mean ± standard deviation over seeds, failed ones included; below it the paper's "
    "value."
)


def _set_prediction_table(runs, size):
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


def _cell(experiment, model, groups, score):
    """What the page says of one score of one model."""
    digits = SCORES[experiment.task][score]
    lines = []
    for group in groups:
        values = group.scores(score)
        lines.append(("value", format_spread(values, digits)))
        seeds = ", ".join(map(str, group.seeds))
        note = f"{'seed' if len(group.seeds) == 1 else 'seeds'} {seeds}"
        if group.num_restarts:
            note += f", restarted {group.num_restarts}x"
        lines.append(("note", note))
        failed = ", ".join(map(str, group.failures()))
        if failed:
            count = f"{len(group.failures())} of {len(group.seeds)}"
            lines.append(("failed", f"{count} failed: {failed}"))
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
        keys += ("num_failed", "failed_seeds", "num_restarts")
        records.append({**base, **dict.fromkeys(keys), **paper, "note": NOT_RUN})
    return records


def _cost_table(runs, size):
    """One line for each dataset, model and device."""
    header = ["Experiment", "Model", "Parameters", "Steps", "Batch size"]
    header += ["Seconds a run", "ms a step", "Device"]
    lines, records, used = [], [], []
    for experiment in EXPERIMENTS:
        for model in experiment.models:
            groups = find_groups(runs, experiment, model, size)
            costs = [cost for group in groups for cost in _costs(group)]
            used += groups
            for cost in costs or [None]:
                names = {"experiment": experiment.name, "model": model}
                note = "" if cost else NOT_RUN
                cost = cost or dict.fromkeys(_COSTS)
                records.append({**names, **cost, "note": note})
                texts = [_cost_text(key, cost) for key in _COSTS if key != "seeds"]
                texts = texts if not note else [note, *[""] * (len(texts) - 1)]
                titles = [experiment.title, MODEL_TITLES[model]]
                lines.append(
                    [[("value", each)] for each in titles]
                    + [[("note" if note else "value", each)] for each in texts]
                )
    sentence = (
        "Seconds are those of training with its own evaluations, the mean over the runs "
        "on a device; a step's milliseconds are seconds divided by steps. The paper "
        "trains about 24 hours on 8 V100 for 500,000 steps of CLEVR6. "
        f"{describe_sources(used)}"
    )
    return Table("table_cost", "Cost", sentence.strip(), header, lines, records)


_COSTS = (
    *("parameters", "steps", "batch_size", "seconds", "ms_per_step", "device", "seeds"),
)


def _costs(group):
    """What the runs of a group cost, for each device."""
    by_device = {}
    for run in group.runs:
        by_device.setdefault(run.row.get("device"), []).append(run)
    for device, runs in by_device.items():
        seconds = [run.row["seconds"] for run in runs if run.row.get("seconds")]
        mean = float(np.mean(seconds)) if seconds else None
        row = runs[0].row
        yield {
            "parameters": row.get("parameters"),
            "steps": group.steps,
            "batch_size": row.get("settings", {}).get("batch_size"),
            "seconds": mean,
            "ms_per_step": 1000 * mean / group.steps if mean and group.steps else None,
            "device": device,
            "seeds": " ".join(str(run.seed) for run in runs),
        }


def _cost_text(key, cost):
    value = cost[key]
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.1f}" if key == "ms_per_step" else f"{value:,.0f}"


def _other_data_table(runs, size):
    """Scores on other data than a run's own, such as CLEVR's original renderings."""
    keys = ("dataset", "split", "num_slots", "num_iterations")
    lines, records, used = [], [], []
    for experiment in EXPERIMENTS:
        for model in experiment.models:
            for group in find_groups(runs, experiment, model, size):
                found = _evaluations_elsewhere(group, keys)
                used += [group] if found else []
                for place, evaluations in found.items():
                    record, line = _elsewhere(group, dict(zip(keys, place, strict=True)))
                    texts = []
                    for score, digits in SCORES[experiment.task].items():
                        values = [each.get(score, np.nan) for each in evaluations]
                        counted = {**summarize(values), "num_runs": len(values)}
                        records.append({**record, "score": score, **counted, "note": ""})
                        texts.append(f"{score} {format_spread(values, digits)}")
                    lines.append([*line, [("value", text) for text in texts]])
    if not lines:
        lines = [[[("note", NOT_RUN)], [], [], []]]
        empty = ("experiment", "model", "trained_on", *keys, *_COUNTED)
        records = [{**dict.fromkeys(empty), "note": NOT_RUN}]
    sentence = (
        "Models on data that they were not trained for, such as scenes rendered with "
        f"CLEVR's original assets. {describe_sources(used)}"
    )
    header = ["Model", "Trained on", "Evaluated on", "Scores"]
    title = "Other data"
    return Table("table_other_data", title, sentence.strip(), header, lines, records)


_COUNTED = ("score", "mean", "std", "num_runs")


def _evaluations_elsewhere(group, keys):
    """Evaluations on other data than the run's, by what they were made with."""
    found = {}
    for run in group.runs:
        own = run.evaluation.get("dataset")
        for evaluation in run.evaluations:
            if evaluation.get("dataset") != own and not evaluation.get("num_objects"):
                place = tuple(evaluation.get(key) for key in keys)
                found.setdefault(place, []).append(evaluation)
    return found


def _elsewhere(group, place):
    """The beginning of a record and of a line."""
    names = {
        "experiment": group.experiment.name,
        "model": group.model,
        "trained_on": group.dataset,
    }
    made_with = [f"K = {place['num_slots']}"]
    if place["num_iterations"]:
        made_with.append(f"T = {place['num_iterations']}")
    evaluated_on = [
        ("value", f"{place['dataset']}, {place['split']}"),
        ("note", ", ".join(made_with)),
    ]
    line = [
        [("value", MODEL_TITLES[group.model]), ("note", group.experiment.title)],
        [("value", group.dataset)],
        evaluated_on,
    ]
    return {**names, **place}, line


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
