"""The runs that `results/` holds, grouped into what may be averaged."""

import dataclasses
import pathlib

import numpy as np

from slot_attention_tf import results
from slot_attention_tf.failures import signs_of_failed_discovery


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        row: Dictionary, its row in `results/`.
        examples: Path of its examples for the pictures, a file that may not exist.
    """

    row: dict
    examples: pathlib.Path

    @property
    def seed(self):
        return self.row["seed"]

    @property
    def evaluation(self):
        return self.row["evaluation"]

    @property
    def evaluations(self):
        """The evaluation, then those with other slots, iterations or data."""
        return [self.evaluation, *(self.row.get("sweeps") or [])]


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed, in the order of the seeds."""

    experiment: object
    model: str
    runs: tuple

    @property
    def dataset(self):
        return self.runs[0].row["dataset"]

    @property
    def steps(self):
        return self.runs[0].evaluation.get("step")

    @property
    def seeds(self):
        return [run.seed for run in self.runs]

    @property
    def num_starts(self):
        """How many starts each run chose from."""
        return len(self.runs[0].row.get("starts") or [0])

    @property
    def num_restarts(self):
        return sum(len(run.row.get("attempts") or []) for run in self.runs)

    def scores(self, name):
        """The score of each run, a float array `[R]`; NaN where a row has none."""
        values = [run.evaluation.get(name) for run in self.runs]
        return np.array([np.nan if v is None else v for v in values], "float64")

    def failures(self):
        """Why runs seem to have failed: a list of sentences by seed."""
        if self.experiment.task != "discovery":
            return {}
        found = {}
        for run in self.runs:
            if {"stripes", "mse"} <= run.evaluation.keys():
                siblings = [
                    each.evaluation
                    for each in self.runs
                    if each is not run and "mse" in each.evaluation
                ]
                signs = signs_of_failed_discovery(run.evaluation, siblings)
                if signs:
                    found[run.seed] = signs
        return found


def read_runs(folder):
    """Reads all runs of a folder of results, as `results.read_rows` reads rows.

    Returns:
        List of `Run`, in a fixed order.
    """
    rows = results.read_rows(folder).items()
    return [Run(row, file.with_suffix(".npz")) for file, row in rows]


def find_groups(runs, experiment, model, size):
    """The runs of a model in an experiment.

    Runs on other data, of other length or of another number of starts are groups of
    their own, not averaged.

    Args:
        runs: List of `Run`.
        experiment: An `Experiment`.
        model: String, the name of the model.
        size: String, `"cpu"` or `"paper"`.

    Returns:
        List of `Group`, those with most runs first.
    """
    identity = (experiment.task, experiment.presets[size], model)
    groups = {}
    for run in runs:
        row = run.row
        if (row["task"], row["preset"], row["model_name"]) == identity:
            groups.setdefault(results.conditions(row), []).append(run)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    return [
        Group(experiment, model, tuple(sorted(found, key=lambda run: run.seed)))
        for _, found in ordered
    ]


def describe_sources(groups):
    """Says which rows something is made of: seeds, dataset and device of each group."""
    if not groups:
        return ""
    datasets = dict.fromkeys(group.dataset for group in groups)
    runs = [run for group in groups for run in group.runs]
    devices = dict.fromkeys(run.row.get("device", "unknown device") for run in runs)
    seeds = sorted({run.seed for run in runs})
    return (
        f"From {_count(len(runs), 'run')} ({'seed' if len(seeds) == 1 else 'seeds'} "
        f"{', '.join(map(str, seeds))}) on {', '.join(datasets)}; "
        f"device: {', '.join(devices)}."
    )


def _count(number, word):
    return f"{number} {word}{'' if number == 1 else 's'}"
