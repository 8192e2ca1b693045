"""The folder of one training run: what it is, how it went, what it made."""

import json
import os
import tempfile
from pathlib import Path


class RunDirectory:
    """Reads and writes the files of a run.

    `config.json` (settings and the model's configuration), `metrics.jsonl` (one line
    per logged step), `pictures/`, `tensorboard/`, `checkpoints/`, `model.keras`.

    Args:
        path: The folder; created with the first file.
        writable: `False` in the processes of a cluster that must not write.
    """

    def __init__(self, path, writable=True):
        self.path = Path(path)
        self.writable = writable

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

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
        return json.loads(file.read_text())

    def open_run(self, config):
        """Starts a run, or continues the one that lies here.

        Args:
            config: Dictionary with the keys `settings` and `model`, JSON compatible.

        Raises:
            ValueError: If the folder holds a run of another architecture.
        """
        config = json.loads(json.dumps(config))
        previous = self.read_config()
        if previous is not None:
            changed = list(_differences(previous["model"], config["model"]))
            if changed:
                raise ValueError(
                    f"{self.path} holds a run of another architecture: choose another "
                    "--model_dir, or the settings it was trained with. "
                    f"Different: {'; '.join(changed)}"
                )
        self.write_text("config.json", json.dumps(config, indent=2) + "\n")

    def write_text(self, name, text):
        """Writes a file in one piece: readers see the old text or the new one."""
        if not self.writable:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, self.path / name)

    def read_metrics(self):
        """Returns the logged rows, a list of dictionaries."""
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().splitlines() if line]

    def truncate_metrics(self, step):
        """Forgets rows after `step`: a continued run will log them again."""
        rows = [row for row in self.read_metrics() if row["step"] <= step]
        self.write_text("metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))

    def append_metrics(self, row):
        """Appends one row, a dictionary with the key `step`, to `metrics.jsonl`."""
        if not self.writable:
            return
        with open(self.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    def save_figure(self, name, figure):
        """Writes a matplotlib figure as PNG; returns its path."""
        path = self.pictures / name
        if self.writable:
            self.pictures.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        return path


def _differences(old, new, prefix=""):
    """Yields `path: old -> new` for every leaf in which two configurations differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in ("name", "seed", "build_config"):
                yield from _differences(old.get(key), new.get(key), f"{prefix}{key}.")
    elif old != new:
        yield f"{prefix[:-1]}: {old} -> {new}"
