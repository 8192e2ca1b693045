"""Tables beside the paper's: what runs cost, and scores on other data."""

import numpy as np

from slot_attention_tf.paper.experiments import EXPERIMENTS, MODEL_TITLES
from slot_attention_tf.paper.runs import describe_sources, find_groups
from slot_attention_tf.paper.tables import NOT_RUN, Table, format_spread, summarize
from slot_attention_tf.results import SCORES


def cost_table(runs, size):
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
        "Seconds are those of training with its own evaluations, the mean over the "
        "runs on a device; a step's milliseconds are seconds divided by steps. Both "
        "are larger than need be where runs shared their machine. The paper trains "
        "about 24 hours on 8 V100 for 500,000 steps of CLEVR6. "
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


def other_data_table(runs, size):
    """Scores on other data than a run's own, such as CLEVR's original renderings."""
    keys = ("dataset", "split", "num_slots", "num_iterations")
    lines, records, used = [], [], []
    for experiment in EXPERIMENTS:
        for model in experiment.models:
            for group in find_groups(runs, experiment, model, size):
                found = _evaluations_elsewhere(group, keys)
                used += [group] if found else []
                for place, evaluations in found.items():
                    record, line = _elsewhere(
                        group, dict(zip(keys, place, strict=True))
                    )
                    texts = []
                    for score, digits in SCORES[experiment.task].items():
                        values = [each.get(score, np.nan) for each in evaluations]
                        counted = {**summarize(values), "num_runs": len(values)}
                        records.append(
                            {**record, "score": score, **counted, "note": ""}
                        )
                        texts.append(f"{score} {format_spread(values, digits)}")
                    texts = [("value", text) for text in texts]
                    number = f"runs: {len(evaluations)}"
                    lines.append([*line, [*texts, ("note", number)]])
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
