"""The folder of one training run: what it is, how it went, what it made."""

import json
import os
import shutil
from pathlib import Path

from slot_attention_tf.remote import RemoteRun, is_remote

# What a run is: it may not change while the run goes on.
_FIXED = ("task", "model_name", "preset", "dataset", "seed")
_FIXED_SETTINGS = (
    "dataset",
    "resolution",
    "crop",
    "grayscale",
    "num_channels",
    "max_num_objects",
    "num_slots",
    "batch_size",
    "ema",
)


# What makes two evaluations of a model comparable.
_OF_AN_EVALUATION = (
    *("dataset", "split", "seed", "num_slots", "num_iterations"),
    *("max_num_objects", "num_objects"),
)


class RunDirectory:
    """Reads and writes the files of a run.

    | file | content |
    |---|---|
    | `config.json` | task, model, preset, settings, data, versions, device, seed |
    | `metrics.jsonl` | one row per logged step |
    | `evaluation.jsonl` | one row per evaluation |
    | `pictures/`, `tensorboard/` | what the run shows |
    | `checkpoints/` | the last five, to continue from |
    | `model.keras` | the trained model |
    | `examples.npz` | what the paper's pictures show of it, for `results/` |
    | `starts/0/`, ... | the warm-up of each start, if several were tried |
    | `attempts/0/`, ... | all of these of a start that failed, and `failure.json` |

    Args:
        path: The folder; created with the first file. If it is in a bucket
            (`gs://...`), the files are in a local copy, and `publish` copies them back.
        writable: `False` in the processes of a cluster that must not write.
    """

    def __init__(self, path, writable=True):
        self.remote = RemoteRun(path) if is_remote(path) else None
        self.path = Path(path) if self.remote is None else self.remote.local
        self.writable = writable

    def __str__(self):
        return str(self.path) if self.remote is None else self.remote.address

    def publish(self):
        """Brings what was written to the bucket, if the folder is in one."""
        if self.remote is not None and self.writable:
            self.remote.push()

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

    @property
    def examples(self):
        return self.path / "examples.npz"

    @property
    def pictures(self):
        return self.path / "pictures"

    @property
    def tensorboard(self):
        return self.path / "tensorboard"

    @property
    def model_file(self):
        return self.path / "model.keras"

    def read_config(self):
        """Returns the content of `config.json`, or None if there is none."""
        file = self.path / "config.json"
        if not file.exists():
            return None
        return json.loads(file.read_text("utf-8"))

    def open_run(self, config, finished=False):
        """Starts a run, or continues the one in this folder.

        What defines a run (its model, data, batch size and seed) must be as before.
        Everything else may change, such as the learning rate of a run that diverged:
        the change is printed and kept in `config.json` under `changes`.

        Args:
            config: Dictionary as described in `tasks.runs`, JSON compatible.
            finished: Whether nothing is left to train. What is known of the run then
                stays as it is.

        Raises:
            ValueError: If the folder holds another run. Nothing is written then.
        """
        config = json.loads(json.dumps(config))
        previous = self.read_config()
        if previous is not None:
            self._check_same_run(previous, config)
            if finished:
                return
            changes = differences(previous["settings"], config["settings"])
            changes += differences(*map(_precision, (previous, config)))
            for change in changes:
                print(f"Changed in {self}: {change}")
            config["changes"] = [*previous.get("changes", []), *changes]
            config["started"] = previous.get("started", config.get("started"))
        self.write_text("config.json", json.dumps(config, indent=2) + "\n")

    def start(self, number):
        """The folder of a start, which is a run of its own: a `RunDirectory`."""
        return RunDirectory(self.path / "starts" / str(number), self.writable)

    def adopt(self, number):
        """Makes this run go on where that start ended; its folder stays."""
        shutil.copytree(
            self.start(number).path,
            self.path,
            ignore=shutil.ignore_patterns("config.json"),
            dirs_exist_ok=True,
        )

    def read_attempts(self):
        """Returns what failed before the present start: a list of dictionaries."""
        self._finish_setting_aside()
        files = sorted(
            self._attempts.glob("*/failure.json"),
            key=lambda file: int(file.parent.name),
        )
        return [json.loads(file.read_text("utf-8")) for file in files]

    def set_aside(self, failure):
        """Moves a start that failed to `attempts/`, so that another can begin.

        Args:
            failure: Dictionary that says which start it was and why it failed.
        """
        self.write_text("failure.json", json.dumps(failure) + "\n")
        self._finish_setting_aside()

    @property
    def _attempts(self):
        return self.path / "attempts"

    def _finish_setting_aside(self):
        """Does, or completes, the moves. The last one makes it count."""
        if not self.writable or not (self.path / "failure.json").exists():
            return
        folder = self._attempts / str(len(list(self._attempts.glob("*/failure.json"))))
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.path.iterdir():
            if file.name not in ("attempts", "failure.json"):
                shutil.move(file, folder / file.name)
        os.replace(self.path / "failure.json", folder / "failure.json")

    def _check_same_run(self, previous, config):
        if "task" not in previous:
            raise ValueError(
                f"{self} holds a run of version 0.1, which cannot be continued: "
                "choose another --model_dir. Its model.keras can still be loaded."
            )
        different = [
            f"{name}: {previous.get(name)} -> {config[name]}"
            for name in _FIXED
            if previous.get(name) != config[name]
        ]
        old, new = previous["settings"], config["settings"]
        different += [
            f"{name}: {old[name]} -> {new[name]}"
            for name in _FIXED_SETTINGS
            if name in old and old[name] != new[name]
        ]
        if different:
            raise ValueError(
                f"{self} holds another run: choose another --model_dir, or the "
                f"settings it was started with. Different: {'; '.join(different)}"
            )

    def write_text(self, name, text):
        """Writes a file in one piece: readers see the old text or the new one."""
        if not self.writable:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / f".{name}.{os.getpid()}"
        temporary.write_text(text, "utf-8")
        os.replace(temporary, self.path / name)

    def read_metrics(self):
        """Returns the logged rows, a list of dictionaries."""
        return self._read_rows("metrics.jsonl")

    def truncate_metrics(self, step):
        """Forgets rows after `step`: a continued run will log them again."""
        rows = [row for row in self.read_metrics() if row["step"] <= step]
        self.write_text("metrics.jsonl", _as_lines(rows))

    def append_metrics(self, row):
        """Appends one row, a dictionary with the key `step`, to `metrics.jsonl`."""
        self._append_row("metrics.jsonl", row)

    def read_evaluations(self):
        """Returns the rows of `evaluation.jsonl`, a list of dictionaries."""
        return self._read_rows("evaluation.jsonl")

    def read_final_evaluation(self):
        """Returns the row that says what the run reached, or None.

        The first evaluation of a run is made at its end, as it was trained. Others may
        be of more slots, fewer iterations or other scenes. Of those like the first one,
        this is the last on the most scenes at the latest step.
        """
        rows = self.read_evaluations()
        return _best_of_kinds(rows)[_kind(rows[0])] if rows else None

    def read_sweeps(self):
        """Returns the best row of each kind made at the step of the final one.

        Kinds differ in data or in sizes, such as the number of iterations. The final
        evaluation is one of them; an empty list means that there are no others.
        """
        final = self.read_final_evaluation()
        kinds = _best_of_kinds(
            row
            for row in self.read_evaluations()
            if final is not None and row["step"] == final["step"]
        )
        return list(kinds.values()) if len(kinds) > 1 else []

    def append_evaluation(self, row):
        """Appends one row, a dictionary, to `evaluation.jsonl`."""
        self._append_row("evaluation.jsonl", row)

    def _read_rows(self, name):
        file = self.path / name
        if not file.exists():
            return []
        rows = []
        lines = file.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break  # A process was stopped while it wrote its last line.
                raise ValueError(
                    f"Line {number} of {file} is not JSON: delete the line. "
                    f"Received: {line[:80]!r}"
                ) from error
        return rows

    def _append_row(self, name, row):
        if not self.writable:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / name
        with open(file, "a+b") as stream:
            if stream.tell() and not _ends_a_line(stream):
                self.write_text(name, _as_lines(self._read_rows(name)))
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(_as_lines([row]))

    def save_figure(self, name, figure):
        """Writes a matplotlib figure as PNG; returns its path."""
        path = self.pictures / name
        if self.writable:
            self.pictures.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        return path


def _kind(row):
    return tuple(row.get(name) for name in _OF_AN_EVALUATION)


def _best_of_kinds(rows):
    """The last row on the most scenes at the latest step, by the kind of the row."""

    def size(row):
        return row.get("step") or 0, row.get("num_images") or 0

    best = {}
    for row in rows:
        kind = _kind(row)
        if kind not in best or size(row) >= size(best[kind]):
            best[kind] = row
    return best


def _as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _ends_a_line(stream):
    """Whether the last line of a file is whole; it is not if its writer was killed."""
    stream.seek(-1, os.SEEK_END)
    return stream.read() == b"\n"


def _precision(config):
    options = config.get("options", {})  # Which a run of an older version may lack.
    return {"precision": options["precision"]} if "precision" in options else {}


def differences(old, new):
    """Sentences on the settings in which two dictionaries differ."""
    # A run of an older version lacks newer settings, and used what are now defaults.
    return [
        f"{name}: {old[name]} -> {new[name]}"
        for name in sorted(old.keys() & new.keys())
        if name != "description" and old[name] != new[name]
    ]
