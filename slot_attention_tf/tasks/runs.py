"""What a run is: its `config.json`, its model, its siblings."""

import dataclasses
import datetime
import importlib.metadata
import os
import platform

import keras

from slot_attention_tf.data.generators.scenes import available_cores
from slot_attention_tf.data.prepare import open_prepared
from slot_attention_tf.models.registry import find_model
from slot_attention_tf.settings import from_json
from slot_attention_tf.tasks.task import Task
from slot_attention_tf.training.checkpoints import restore_model
from slot_attention_tf.training.run_directory import RunDirectory

_PACKAGES = ("slot_attention_tf", "keras", "tensorflow", "numpy")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was read from its folder.

    Attributes:
        directory: Its `RunDirectory`, or that of a SavedModel.
        task: Its `Task`.
        config: The content of its `config.json`; for a SavedModel, what is known.
        preset: Its `Preset`, with all settings as they were used.
        model: The model, with the weights of the last checkpoint.
        step: The step of that checkpoint, or of the last row that the run logged; None
            for a SavedModel.
    """

    directory: RunDirectory
    task: Task
    config: dict
    preset: object
    model: object
    step: int | None


def run_config(task, entry, preset_name, preset, options, model, given):
    """The content of a run's `config.json`: all that is needed to know what it is.

    `given` is what the caller asked for beside the preset, for the `command`.

    Returns:
        Dictionary, JSON compatible: `task`, `model_name`, `preset` (its name),
        `settings` (of the preset, as used), `options` (of the run), `model`
        (serialized), `parameters` (how many), `dataset` (name with version),
        `versions`, `device`, `seed`, `started`.
    """
    dataset = open_prepared(preset.dataset, options.data_dir)
    return {
        "task": task.name,
        "model_name": entry.name,
        "preset": preset_name,
        "settings": dataclasses.asdict(preset),
        "options": dataclasses.asdict(options),
        "command": command(task, entry.name, preset_name, given),
        "model": keras.saving.serialize_keras_object(model),
        "parameters": model.count_params(),
        "dataset": dataset.info.full_name,
        "versions": {name: _version(name) for name in _PACKAGES},
        "device": device_name(),
        "seed": options.seed,
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(
            "T", "seconds"
        ),
    }


def command(task, model_name, preset_name, given):
    """The command line that starts such a run anywhere, without folders."""
    words = [f"python train_{task.name}.py", f"--model={model_name}"]
    words.append(f"--preset={preset_name}")
    for name, value in given.items():
        if name not in ("model_dir", "data_dir"):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            words.append(f"--{name}={text}")
    return " ".join(words)


def load_run(model_dir, find_task):
    """Loads the last checkpoint of a run, or without any its `model.keras`.

    Args:
        model_dir: The folder of the run.
        find_task: Function from the name of a task to the `Task`.

    Returns:
        A `Run`.

    Raises:
        FileNotFoundError: If there is no run in the folder, or no weights yet.
        ValueError: If the folder holds a saved model, or a run of version 0.1.
    """
    directory = RunDirectory(model_dir)
    config = directory.read_config()
    if config is None:
        raise FileNotFoundError(
            f"{model_dir} holds no run: it has no config.json. Train one with "
            f"--model_dir={model_dir}, or give the folder of another run."
        )
    if "class_name" in config:
        raise ValueError(
            f"{model_dir} holds no run but a saved model, which from_preset loads. For "
            "a command, save it by model.save and give the file *.keras."
        )
    if "task" not in config:
        raise ValueError(
            f"{model_dir} holds a run of version 0.1, which cannot be evaluated by "
            "this version. Its model.keras can be loaded by keras.saving.load_model."
        )
    model = keras.saving.deserialize_keras_object(config["model"])
    step = restore_model(model, directory.checkpoints)
    if step is None and directory.model_file.exists():
        # Trained elsewhere, such as by examples/train_on_jax.py.
        model = keras.saving.load_model(directory.model_file, compile=False)
        step = max(row["step"] for row in directory.read_metrics())
    if step is None:
        raise FileNotFoundError(
            f"{model_dir} holds no checkpoint yet: its run stopped before the first "
            "one. The command that started it continues it."
        )
    presets = find_model(config["task"], config["model_name"]).presets
    preset_class = type(next(iter(presets.values())))
    preset = from_json(preset_class, config["settings"])
    return Run(directory, find_task(config["task"]), config, preset, model, step)


def sibling_scores(directory):
    """The last evaluations of runs beside this one that differ in their seed only."""
    own_config = directory.read_config()
    own = directory.path.resolve()
    scores = []
    for folder in sorted(own.parent.iterdir()):
        # os.path: False, not an error, in folders that others alone may read.
        if folder == own or not os.path.exists(folder / "evaluation.jsonl"):
            continue
        other = RunDirectory(folder)
        row, config = other.read_final_evaluation(), other.read_config()
        if row and config and _are_siblings(own_config, config):
            scores.append(row)
    return scores


def _are_siblings(config, other):
    """Whether two runs have the same model and settings."""
    if any(config.get(name) != other.get(name) for name in ("task", "model_name")):
        return False
    settings, others = config.get("settings", {}), other.get("settings", {})
    # A run of an older version lacks newer settings, and used what are now defaults.
    names = (settings.keys() & others.keys()) - {"description"}
    return all(settings[name] == others[name] for name in names)


def device_name():
    """What a run computes on, in words."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [
            tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in gpus
        ]
        return ", ".join(names)
    cores = available_cores()
    unit = "core" if cores == 1 else "cores"
    return f"{cores} CPU {unit}, {platform.machine()}"


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
