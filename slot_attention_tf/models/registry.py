"""The models by name. Each model file ends by registering itself here."""

import dataclasses

from slot_attention_tf.presets import Preset

_MODELS = {}


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A model as `--model=NAME` of a training script finds it.

    Attributes:
        name: String, such as `"slot_attention"`.
        task: String, the task it is trained on: `"discovery"` or `"set_prediction"`.
        model_class: The Keras model class.
        presets: Dictionary from name to `Preset`.
    """

    name: str
    task: str
    model_class: type
    presets: dict[str, Preset]


def register_model(name, task, model_class, presets):
    """Makes a model known; see `ModelEntry` for the arguments."""
    _MODELS[task, name] = ModelEntry(name, task, model_class, presets)


def find_model(task, name):
    """Returns the `ModelEntry` of a name.

    Raises:
        ValueError: If the task has no such model.
    """
    if (task, name) not in _MODELS:
        raise ValueError(
            f"The models of {task} are {', '.join(model_names(task)) or 'none'}. "
            f"Received: model={name!r}"
        )
    return _MODELS[task, name]


def model_names(task):
    """Returns the names of the models of a task."""
    return [name for each_task, name in _MODELS if each_task == task]


def task_name_of(model):
    """Returns the name of the task that a model is trained on.

    Args:
        model: An instance of a registered class, or of a subclass of one.

    Raises:
        ValueError: If the class is not registered.
    """
    for entry in _MODELS.values():
        if isinstance(model, entry.model_class):
            return entry.task
    classes = sorted({entry.model_class.__name__ for entry in _MODELS.values()})
    raise ValueError(
        f"The model must be one of {', '.join(classes)}, or of a subclass. "
        f"Received: a model of type {type(model).__name__}"
    )


def presets_of(model_class):
    """Returns all presets of a model class by name.

    A class may stand behind several models, such as the autoencoder with Slot Attention
    and with Slot MLP. The presets of all but the first have the model's name in front:
    `"slot_mlp/tetrominoes"`.
    """
    found = _entries_of(model_class)
    return {key: entry.presets[name] for key, (entry, name) in found.items()}


def find_preset(model_class, key):
    """Returns the `ModelEntry` and the name in it of a key of `presets_of`."""
    return _entries_of(model_class)[key]


def _entries_of(model_class):
    found = {}
    for entry in _MODELS.values():
        if entry.model_class is model_class:
            for name in entry.presets:
                found[f"{entry.name}/{name}" if name in found else name] = entry, name
    return found
