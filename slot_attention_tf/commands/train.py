"""`train_discovery.py` and `train_set_prediction.py`: flags in, a run out."""

import dataclasses

from absl import flags

from slot_attention_tf.commands import define, run_command
from slot_attention_tf.environment import prepare_environment
from slot_attention_tf.settings import parse


def discovery():
    """Runs `train_discovery.py`."""
    _train("discovery")


def set_prediction():
    """Runs `train_set_prediction.py`."""
    _train("set_prediction")


def _train(task_name):
    prepare_environment()
    from slot_attention_tf.tasks import find_task, train

    names = _define_flags(find_task(task_name))

    def main():
        # --clip_norm=none says None, which is not the same as not to say.
        chosen = [flags.FLAGS[name] for name in names]
        given = {
            flag.name: flag.value
            for flag in chosen
            if flag.present or flag.value is not None
        }
        if given.pop("mixed_precision"):
            given["precision"] = "auto"
        train(task_name, **given)

    run_command(main)


def _define_flags(task):
    """Defines a flag for each option and each setting; returns their names."""
    from slot_attention_tf.models import find_model, model_names
    from slot_attention_tf.training.options import RunOptions

    models = model_names(task.name)
    entries = [find_model(task.name, name) for name in models]
    presets = sorted({name for entry in entries for name in entry.presets})
    define("model", "slot_attention", "The model to train.", choices=models)
    define("preset", task.default_preset, "Which settings.", choices=presets)
    define("mixed_precision", False, "The old name of --precision=auto.")
    names = ["model", "preset", "mixed_precision"]
    preset_classes = [type(p) for entry in entries for p in entry.presets.values()]
    for settings in (RunOptions, *preset_classes):
        for field in dataclasses.fields(settings):
            if field.name not in (*names, "description"):
                _define_flag(field, settings is RunOptions, task)
                names.append(field.name)
    return names


def _define_flag(field, is_option, task):
    text = field.metadata["help"]
    if field.name == "model_dir":
        text += f" Default: {task.default_model_dir}."
    elif not is_option:
        text += " Default: the preset's."
    elif field.default is not None:
        text += f" Default: {field.default}."
    choices = field.metadata["choices"]
    kind = bool if field.type is bool else lambda given: parse(field, given)
    define(field.name, None, text, parse=kind, choices=choices)
