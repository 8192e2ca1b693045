"""Where `from_preset` finds models: in the package, a run, a folder, a file, a hub.

Trained weights of a preset come with the package as `weights/<model>_<preset>` with
the endings `.weights.h5` and `.json`. The `.json`, written by
`python -m slot_attention_tf.results ship`, is the card: data, seed, steps, time,
machine, command, scores and the file's `sha256`. Weights too large for the package are
on a server instead: their card has the field `url`.
"""

import dataclasses
import json
import warnings
import zipfile
from pathlib import Path

import keras

from slot_attention_tf.models.registry import find_preset

FOLDER = Path(__file__).parent / "weights"
LARGEST = 3_000_000  # Bytes of a file of weights in the package.
_ENDING = ".weights.h5"


def make_model(model_class, preset, load_weights, overrides):
    """See `BaseModel.from_preset`."""
    if preset in model_class.presets:
        return _from_package(model_class, preset, load_weights, overrides)
    return _from_saved(model_class, preset, load_weights, overrides)


def _from_package(model_class, preset, load_weights, overrides):
    entry, name = find_preset(model_class, preset)
    model = build_untrained(model_class, entry.presets[name], overrides)
    if not load_weights:
        return model
    weights = find_weights(entry.name, name)
    if weights is None:
        warnings.warn(
            f"The preset {preset!r} of {model_class.__name__} comes without trained "
            "weights: the model is untrained. Train it by slot_attention_tf.train("
            f"{entry.task!r}, model={entry.name!r}, preset={name!r}, model_dir=...) "
            "and give from_preset that folder, or say load_weights=False to silence "
            "this warning.",
            stacklevel=4,
        )
        return model
    if overrides:
        original = build_untrained(model_class, entry.presets[name], {})
        _check_overrides(model, original, preset, overrides)
    model.load_weights(weights)
    return model


def build_untrained(model_class, preset, overrides):
    """The model of a `Preset`, with fields of the preset and arguments replaced."""
    fields = {field.name for field in dataclasses.fields(preset)} & overrides.keys()
    preset = dataclasses.replace(preset, **{name: overrides[name] for name in fields})
    arguments = {key: overrides[key] for key in overrides.keys() - fields}
    arguments = {**preset.model_arguments(overrides.get("dtype")), **arguments}
    return model_class(**arguments)


def _check_overrides(model, original, preset, overrides):
    """Raises ValueError if the weights of `original` do not fit `model`."""
    if [w.shape for w in model.weights] != [w.shape for w in original.weights]:
        given = ", ".join(f"{key}={value!r}" for key, value in overrides.items())
        raise ValueError(
            f"The trained weights of {str(preset)!r} do not fit a model of other "
            "sizes: leave out what changes them, or say load_weights=False for an "
            f"untrained model. Received: {given}"
        )


def card_file(model_name, preset, folder=FOLDER):
    """Path of the card of trained weights; the weights are beside it."""
    return folder / f"{model_name}_{preset}.json"


def find_weights(model_name, preset):
    """Path of a preset's trained weights, downloaded if need be, or None."""
    file = card_file(model_name, preset, FOLDER)
    if not file.exists():
        return None
    card = json.loads(file.read_text("utf-8"))
    if "url" not in card:
        return file.with_suffix(_ENDING)
    return keras.utils.get_file(
        file.with_suffix(_ENDING).name,
        card["url"],
        file_hash=card["sha256"],
        hash_algorithm="sha256",
        cache_subdir="slot_attention_tf",
    )


def _from_saved(model_class, preset, load_weights, overrides):
    place = _find_place(model_class, preset)
    config = _read_config(place)
    name, original = config["class_name"], config["config"]
    found = keras.saving.get_registered_object(config["registered_name"])
    if not (found and issubclass(found, model_class)):
        raise ValueError(
            f"{preset} holds a {name}: call {name}.from_preset, or "
            "keras.saving.load_model for any saved model whose class was imported. "
            f"Received: {model_class.__name__}.from_preset({str(preset)!r})"
        )
    if not overrides:
        model = found.from_config(original)
    elif overrides.keys() <= original.keys():
        model = found.from_config(_replaced(original, overrides))
    else:
        raise ValueError(
            f"The arguments of the saved {name} are {', '.join(original)}. Received: "
            f"{', '.join(sorted(overrides.keys() - original.keys()))}"
        )
    if not load_weights:
        return model
    if overrides:
        _check_overrides(model, found.from_config(original), preset, overrides)
    _load_saved(model, place)
    return model


def _replaced(config, overrides):
    """A model's configuration with arguments replaced, in its layers as well."""
    in_layers = {key: value for key, value in overrides.items() if key != "name"}
    replaced = {}
    for key, value in config.items():
        if key in overrides:
            replaced[key] = overrides[key]
        elif isinstance(value, dict):
            replaced[key] = _replaced(value, in_layers)
        else:
            replaced[key] = value
    replaced.pop("build_config", None)  # It has the old sizes.
    return replaced


def _find_place(model_class, preset):
    """The folder or file that `preset` means."""
    if str(preset).startswith("hf://"):
        return _download_from_hub(str(preset))
    place = Path(preset).expanduser()
    if place.is_dir() or (place.is_file() and place.suffix == ".keras"):
        return place
    if place.suffix == ".keras":
        raise FileNotFoundError(f"There is no file {place}.")
    raise ValueError(
        f"{model_class.__name__}.from_preset takes the name of a preset, a folder, a "
        "file *.keras or hf://user/name. The presets are "
        f"{', '.join(sorted(model_class.presets))}. Received: preset={str(preset)!r}"
    )


def _download_from_hub(url):
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "Models on the Hugging Face Hub need a package: pip install "
            f"huggingface_hub. Received: preset={url!r}"
        ) from error
    folder = huggingface_hub.snapshot_download(
        url.removeprefix("hf://"), library_name="keras"
    )
    return Path(folder)


def _read_config(place):
    """The serialized model of a run, of a folder of Keras, or of a file `*.keras`."""
    if place.is_file():
        check_kind(place)
        with zipfile.ZipFile(place) as archive:
            return json.loads(archive.read("config.json"))
    file = place / "config.json"
    config = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if "task" in config:
        return config["model"]
    if "class_name" in config:
        return config
    raise ValueError(
        f"{place} holds neither a training run nor a model that save_to_preset wrote. "
        f"If it has a file *.keras, give that file. Received: preset={str(place)!r}"
    )


def _load_saved(model, place):
    """Fills a model with the weights of a folder or file."""
    if place.is_file():
        return model.load_weights(place)
    for name in ("model.weights.h5", "model.keras"):
        if (place / name).exists():
            return model.load_weights(place / name)
    # Needs TensorFlow, which all of the above does not.
    from slot_attention_tf.training.checkpoints import restore_model

    if restore_model(model, place / "checkpoints") is None:
        raise FileNotFoundError(
            f"{place} holds no weights: its run stopped before the first checkpoint. "
            "The command that started it continues it."
        )


def check_not_a_run(folder):
    """Raises ValueError if a saved model would overwrite another config.json."""
    file = Path(folder) / "config.json"
    if file.exists() and "class_name" not in json.loads(file.read_text("utf-8")):
        raise ValueError(
            "The folder has a config.json that is not of a saved model but, for "
            "example, of a training run. It would be overwritten: choose another "
            f"folder. Received: folder={str(folder)!r}"
        )


def check_kind(path):
    """Raises ValueError for a file of weights that is not what its name says."""
    path = Path(path)
    if not path.is_file() or not path.name.endswith((".keras", _ENDING)):
        return  # Keras knows other formats, and says what is missing.
    kinds = {b"PK\x03\x04": ".keras", b"\x89HDF": _ENDING}
    with open(path, "rb") as file:
        kind = kinds.get(file.read(4), "no file of Keras")
    if not path.name.endswith(kind):
        raise ValueError(
            "A file of weights is *.keras (model.save) or *.weights.h5 "
            f"(model.save_weights). Received: {str(path)!r}, which by its content is "
            f"{kind}"
        )
