"""Results of runs: kept in the repository, and turned into tables.

    python -m slot_attention_tf.results add runs/discovery_0
    python -m slot_attention_tf.results table
    python -m slot_attention_tf.results readme
    python -m slot_attention_tf.results ship runs/discovery_0

`add` copies what a finished run says of itself into `results/`: a row with its scores
(`<task>/<preset>/<model>_<seed>.json`, or `<model>_<seed>_of_3.json` for the best of
three starts) and beside it its curve (`.jsonl`) and, of one seed, what pictures show of
it (`.npz`). `table` prints a line for each model and preset, over all seeds. `readme`
writes that table between the marks in README.md; with `--check` it only says whether
they differ. Nothing in `results/` is typed by hand. `ship` adds a run and puts its
weights, with a card that says where they come from, into the package, where
`from_preset` finds them.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import sys

import numpy as np

from slot_attention_tf.environment import prepare_environment
from slot_attention_tf.training.run_directory import RunDirectory, differences

FOLDER = pathlib.Path("results")
_MARKS = ("<!-- results: begin -->\n", "<!-- results: end -->\n")
# What a row must have to be one.
_NEEDED = {
    "task": str,
    "preset": str,
    "model_name": str,
    "dataset": str,
    "seed": int,
    "evaluation": dict,
}
# What the card of weights says of their run.
_OF_THE_RUN = (
    *("task", "model_name", "preset", "dataset", "seed", "seconds", "device"),
    *("versions", "command", "changes"),
)
# The scores that a table shows, by task, with the digits that they are printed with.
SCORES = {
    "discovery": {"fg_ari": 3, "ari": 3, "mbo": 3, "mse": 5},
    "set_prediction": {
        "AP@inf": 3,
        "AP@1": 3,
        "AP@0.5": 3,
        "AP@0.25": 3,
        "AP@0.125": 3,
    },
}


def add_run(model_dir, folder=FOLDER):
    """Copies the row and the curve of a finished run.

    Args:
        model_dir: The folder of the run.
        folder: The folder of all results.

    Returns:
        The path of the row.

    Raises:
        FileNotFoundError: If there is no run, or it has no evaluation.
        ValueError: If a row of another run with the same name is there already, or rows
            of the same preset with other settings.
    """
    run = RunDirectory(model_dir)
    config, evaluation = run.read_config(), run.read_final_evaluation()
    if config is None or evaluation is None or not run.model_file.exists():
        raise FileNotFoundError(
            f"{model_dir} holds no finished run with an evaluation: train it to its "
            "end, or evaluate it."
        )
    kept = ("task", "model_name", "preset", "dataset", "seed", "settings", "versions")
    row = {
        **{key: config[key] for key in kept},
        "changes": config.get("changes", []),
        "attempts": config.get("attempts", []),
        "starts": config.get("starts", []),
        "device": config["device"],
        "precision": config["options"]["precision"],
        "seconds": round(max(row.get("seconds", 0) for row in run.read_metrics())),
        "command": config["command"],
        "parameters": config.get("parameters"),
        "evaluation": evaluation,
        "sweeps": run.read_sweeps(),
        "weights_sha256": _sha256(run.model_file),
    }
    name = run_name(row["model_name"], row["seed"], len(row["starts"]) or 1)
    path = pathlib.Path(folder) / row["task"] / row["preset"] / f"{name}.json"
    if path.exists():
        other = json.loads(path.read_text("utf-8"))["weights_sha256"]
        if other != row["weights_sha256"]:
            raise ValueError(
                f"{path} is the row of another run: delete it first if this run is to "
                f"replace it. Received: model_dir={model_dir}"
            )
    _check_settings(path, row)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row, indent=2) + "\n", "utf-8")
    curve = "".join(json.dumps(each) + "\n" for each in run.read_metrics())
    path.with_suffix(".jsonl").write_text(curve, "utf-8")
    if run.examples.exists() and not _others_with_examples(path, row):
        shutil.copy(run.examples, path.with_suffix(".npz"))
    return path


def _check_settings(path, row):
    """Raises ValueError if the row would be averaged with others of other settings."""
    for file in sorted(path.parent.glob(f"{row['model_name']}_*.json")):
        other = _read_row(file)
        same = conditions(other) == conditions(row)
        if file == path or other["model_name"] != row["model_name"] or not same:
            continue
        if changes := differences(other["settings"], row["settings"]):
            raise ValueError(
                f"{file} is of the same preset with other settings, and they would "
                "be averaged: give another folder for such a row, --results=DIR. "
                f"Received: {', '.join(changes)}"
            )


def run_name(model_name, seed, num_starts):
    """The name of the files of a run beside those of other runs of its preset."""
    name = f"{model_name}_{seed}"
    return name if num_starts == 1 else f"{name}_of_{num_starts}"


def _others_with_examples(path, row):
    """Rows of other seeds that have examples: those of one run are enough."""
    others = path.parent.glob(f"{row['model_name']}_*.npz")
    return [other for other in others if other != path.with_suffix(".npz")]


def ship_weights(model_dir, results=FOLDER, weights=None, url=None):
    """Puts the weights of a finished run into the package, with their card.

    Args:
        model_dir: The folder of the run.
        results: The folder of all results, which gets the run's row.
        weights: The folder for weights and card. Default: that of the package.
        url: Address to which the weights, which are written into the run's folder, will
            be uploaded. Default: the weights come with the package.

    Returns:
        The path of the card.

    Raises:
        FileNotFoundError: As `add_run`.
        ValueError: As `add_run`; if the run's model has other sizes than its preset; or
            if the weights are too large for the package.
    """
    import keras

    from slot_attention_tf import pretrained
    from slot_attention_tf.models import find_model

    path = add_run(model_dir, results)
    row = json.loads(path.read_text("utf-8"))
    entry = find_model(row["task"], row["model_name"])
    preset = entry.presets[row["preset"]]
    model = keras.saving.load_model(RunDirectory(model_dir).model_file, compile=False)
    expected = pretrained.build_untrained(entry.model_class, preset, {})
    if [w.shape for w in model.weights] != [w.shape for w in expected.weights]:
        raise ValueError(
            "Weights that ship must fit the preset without further settings. "
            f"Received: model_dir={model_dir}, made by {row['command']}"
        )
    folder = pathlib.Path(weights or pretrained.FOLDER)
    card = pretrained.card_file(entry.name, row["preset"], folder)
    file = pathlib.Path(model_dir) / card.with_suffix(".weights.h5").name
    model.save_weights(file)
    if url is None and file.stat().st_size > pretrained.LARGEST:
        raise ValueError(
            f"The package takes no weights of more than {pretrained.LARGEST:,} bytes: "
            f"upload {file}, and give the file's address as --url. "
            f"Received: {file.stat().st_size:,} bytes"
        )
    content = {key: row[key] for key in _OF_THE_RUN}
    content["steps"] = row["evaluation"]["step"]
    content["scores"] = row["evaluation"]
    content["row"] = path.relative_to(results).as_posix()
    content["sha256"] = _sha256(file)
    if url is None:
        shutil.move(file, folder / file.name)
    else:
        content["url"] = url
    card.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return card


def read_rows(folder=FOLDER):
    """Reads the rows of a folder of results.

    Args:
        folder: Path of the folder.

    Returns:
        Dictionary from the path of a row to the row, a dictionary, in a fixed order.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a file is not JSON, or not a row.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            "The folder of results is not there: give one that holds "
            f"<task>/<preset>/<model>_<seed>.json. Received: results={folder}"
        )
    return {file: _read_row(file) for file in sorted(folder.glob("*/*/*.json"))}


def _read_row(file):
    try:
        row = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not JSON: restore it, or add the run again by "
            f"`python -m slot_attention_tf.results add`. Received: {error}"
        ) from error
    for key, kind in _NEEDED.items():
        if not isinstance(row, dict) or not isinstance(row.get(key), kind):
            raise ValueError(
                f"{file} is not the row of a run: `{key}` must be of type "
                f"{kind.__name__}. Add the run again. Received: {str(row)[:80]!r}"
            )
    return row


def conditions(row):
    """What runs of a model and preset must share to be averaged.

    Returns:
        Tuple of the dataset, the steps, and how many starts the run chose from.
    """
    return row["dataset"], row["evaluation"].get("step"), len(row.get("starts") or [0])


def summarize(rows):
    """Mean and spread of the scores over the seeds of each model and preset.

    Args:
        rows: List of rows.

    Returns:
        List of dictionaries: `task`, `preset`, `model_name`, `dataset`, `seeds` (list),
        `num_starts`, `seconds` (list), `devices` (list), and for each score `(mean,
        standard deviation)`. Runs that differ in their `conditions` are not averaged.
    """
    groups = {}
    for row in rows:
        key = (row["task"], row["preset"], row["model_name"], *conditions(row))
        groups.setdefault(key, []).append(row)
    summaries = []
    ordered = sorted(groups.items(), key=lambda item: str(item[0]))
    for (task, preset, model_name, dataset, _, num_starts), group in ordered:
        summary = {
            "task": task,
            "preset": preset,
            "model_name": model_name,
            "dataset": dataset,
            "seeds": [_seed(row) for row in group],
            "num_starts": num_starts,
            "seconds": [row["seconds"] for row in group],
            "devices": list(dict.fromkeys(row["device"] for row in group)),
        }
        for score in SCORES[task]:
            values = [row["evaluation"][score] for row in group]
            summary[score] = (float(np.mean(values)), float(np.std(values)))
        summaries.append(summary)
    return summaries


def _seed(row):
    """The seed of a run, and how many attempts of it failed."""
    failures = len(row.get("attempts", []))
    return str(row["seed"]) + (f" (restarted {failures}x)" if failures else "")


def table(rows):
    """The tables of all tasks, in Markdown."""
    blocks = []
    for task, scores in SCORES.items():
        summaries = [each for each in summarize(rows) if each["task"] == task]
        if not summaries:
            continue
        head = ["dataset", "preset", "model", "seeds", *scores, "minutes a run", "on"]
        lines = [head, ["---"] * len(head)]
        for each in summaries:
            minutes = [seconds / 60 for seconds in each["seconds"]]
            several = len(each["seeds"]) > 1
            spread = [
                f"{each[score][0]:.{digits}f}"
                + (f" ± {each[score][1]:.{digits}f}" if several else "")
                for score, digits in scores.items()
            ]
            seeds = ", ".join(each["seeds"])
            if each["num_starts"] > 1:
                best = "each the best" if several else "best"
                seeds += f" ({best} of {each['num_starts']} starts)"
            lines.append(
                [
                    each["dataset"],
                    each["preset"],
                    each["model_name"],
                    seeds,
                    *spread,
                    _range(minutes),
                    "; ".join(each["devices"]),
                ]
            )
        blocks.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(blocks)


def _range(minutes):
    """The least and the largest number, in whole minutes."""
    ends = dict.fromkeys(f"{end:.0f}" for end in (min(minutes), max(minutes)))
    return " to ".join(ends)


def update_readme(readme, rows, check=False):
    """Writes the tables between the marks in a README.

    Args:
        readme: Path of the file.
        rows: List of rows.
        check: Whether to leave the file as it is.

    Returns:
        Whether the file said the same before.

    Raises:
        ValueError: If the file lacks the marks.
    """
    readme = pathlib.Path(readme)
    text = readme.read_text("utf-8")
    if not all(mark in text for mark in _MARKS):
        raise ValueError(
            f"The tables stand between the lines {_MARKS[0].strip()} and "
            f"{_MARKS[1].strip()}: add both. Received: {readme}, without them"
        )
    begin, end = (text.index(mark) for mark in _MARKS)
    begin += len(_MARKS[0])
    same = text[begin:end] == "\n" + table(rows) + "\n"
    if not same and not check:
        text = text[:begin] + "\n" + table(rows) + "\n" + text[end:]
        readme.write_text(text, "utf-8")
    return same


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments=None):
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slot_attention_tf.results", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--results", default=FOLDER, help="folder of all results")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="copy the rows of finished runs")
    add.add_argument("model_dir", nargs="+")
    ship = commands.add_parser("ship", help="put a run's weights into the package")
    ship.add_argument("model_dir")
    ship.add_argument("--url", help="address of weights too large for the package")
    commands.add_parser("table", help="print the tables")
    readme = commands.add_parser("readme", help="write the tables into README.md")
    readme.add_argument("--readme", default="README.md")
    readme.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    try:
        if options.command == "add":
            for model_dir in options.model_dir:
                print(add_run(model_dir, options.results))
        elif options.command == "ship":
            prepare_environment()
            print(ship_weights(options.model_dir, options.results, url=options.url))
        else:
            rows = list(read_rows(options.results).values())
            if options.command == "table":
                print(table(rows))
            elif (
                not update_readme(options.readme, rows, options.check) and options.check
            ):
                raise ValueError(
                    f"{options.readme} and {options.results} differ: run "
                    "python -m slot_attention_tf.results readme"
                )
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
