"""Reading finished or running runs: their model, settings and siblings."""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from slot_attention_tf.training.checkpoints import restore_model
from slot_attention_tf.training.run_directory import RunDirectory


def load_run(model_dir, model_class, presets):
    """Loads the last checkpoint of a run.

    Args:
        model_dir: The folder of the run.
        model_class: The Keras model class that the run trained.
        presets: Dictionary of presets, one of which the run started from.

    Returns:
        Tuple `(run, model, preset, step)`.

    Raises:
        FileNotFoundError: If there is no run or no checkpoint in the folder.
    """
    run = RunDirectory(model_dir)
    config = run.read_config()
    if config is None:
        raise FileNotFoundError(
            f"{model_dir} holds no run: it has no config.json. Train one with "
            f"--model_dir={model_dir}, or give the folder of another run."
        )
    model = model_class.from_config(config["model"])
    latest = tf.train.latest_checkpoint(str(run.checkpoints))
    if latest is None:
        raise FileNotFoundError(
            f"{model_dir} holds no checkpoint yet: its run stopped before the first "
            "one. The command that started it continues it."
        )
    step = restore_model(model, latest)
    preset = dataclasses.replace(presets[config["preset"]], **config["settings"])
    return run, model, preset, step


def preset_like(config, presets):
    """Finds the preset with the architecture of a model.

    Args:
        config: Dictionary, the configuration of a `SlotAttentionAutoEncoder`.
        presets: Dictionary of presets.

    Returns:
        The name of the preset.

    Raises:
        ValueError: If there is none, or several.
    """
    architecture = [_sizes(config[part]["config"]) for part in ("encoder", "decoder")]
    names = [
        name
        for name, preset in presets.items()
        if architecture
        == [
            _sizes(part.get_config())
            for part in (preset.make_encoder(), preset.make_decoder())
        ]
    ]
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"{'Several presets have' if names else 'No preset has'} the architecture of "
        "this model: say by --preset=NAME whose data to evaluate it on. Known: "
        f"{', '.join(names or sorted(presets))}"
    )


def record_evaluation(run, step, values):
    """Keeps an evaluation in the run's `evaluation.json`."""
    run.write_text("evaluation.json", json.dumps({"step": step, **values}) + "\n")


def signs_of_failure(run, values, max_stripes=0.9, max_ratio=1.5):
    """Looks for the failure in which masks are stripes or tiles (paper, Section 4.1).

    Args:
        run: The `RunDirectory` in question.
        values: Its evaluation, with the keys `mse` and `stripes`.
        max_stripes: A mean stripe score above it is a sign.
        max_ratio: A reconstruction error above the median of the siblings' times
            this is a sign. Siblings: evaluated runs beside this one that differ in
            nothing but their seed.

    Returns:
        A list of sentences, empty for a healthy run.
    """
    signs = []
    if values["stripes"] > max_stripes:
        signs.append(
            f"{values['stripes']:.0%} of the masks' variance follows the row or the "
            "column alone: the masks are stripes."
        )
    errors = list(_sibling_errors(run))
    if errors and values["mse"] > max_ratio * np.median(errors):
        signs.append(
            f"The reconstruction error {values['mse']:.5f} is "
            f"{values['mse'] / np.median(errors):.1f} times the median of "
            f"{len(errors)} sibling runs, {np.median(errors):.5f}."
        )
    return signs


def _sizes(config):
    """What of a layer's configuration is architecture, as JSON keeps it."""
    others = ("name", "dtype", "trainable")
    return json.loads(
        json.dumps({key: config[key] for key in config if key not in others})
    )


def _sibling_errors(run):
    config = run.read_config()
    for folder in sorted(run.path.resolve().parent.iterdir()):
        evaluation = folder / "evaluation.json"
        if folder == run.path.resolve() or not evaluation.exists():
            continue
        other = RunDirectory(folder).read_config() or {}
        if other.get("settings") == config["settings"]:
            yield json.loads(evaluation.read_text())["mse"]
