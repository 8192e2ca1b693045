"""Trained weights: those of the package by name, and your own files.

`weights/` holds `<preset>_<name>.weights.h5` and, beside each, a `.json` that says what
the weights reached, on which data, with which seed, at what cost.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "weights"
_ENDING = ".weights.h5"


def load_weights(model, preset, weights):
    """Fills a new model.

    Args:
        model: A built Keras model.
        preset: String, the name of its preset.
        weights: Path of a file `*.keras` or `*.weights.h5`, or the name of weights
            that come with the package.

    Raises:
        ValueError: If the package has no such weights, or they do not fit the model.
        FileNotFoundError: If `weights` is a path and there is none.
    """
    path = Path(weights)
    if path.suffix not in (".keras", ".h5"):
        path = FOLDER / f"{preset}_{weights}{_ENDING}"
        if not path.exists():
            raise ValueError(
                "`weights` must be the path of a file *.keras or *.weights.h5, or the "
                "name of weights that come with the package, which are (preset, name): "
                f"{shipped() or 'none'}. Received: weights={str(weights)!r} for the "
                f"preset {preset!r}"
            )
    elif not path.exists():
        raise FileNotFoundError(f"There is no file of weights at {path}.")
    _check_kind(path)
    try:
        model.load_weights(path)
    except ValueError as error:
        raise ValueError(
            f"The weights are of another architecture than the preset {preset!r} with "
            f"the arguments given. Received: weights={str(weights)!r} ({error})"
        ) from error


def _check_kind(path):
    """Raises ValueError for a file that is not what its name says."""
    kinds = {b"PK\x03\x04": ".keras", b"\x89HDF": ".weights.h5"}
    with open(path, "rb") as file:
        kind = kinds.get(file.read(4), "no file of Keras")
    if not path.name.endswith(kind):
        raise ValueError(
            "A file of weights is *.keras (model.save) or *.weights.h5 "
            f"(model.save_weights). Received: weights={str(path)!r}, which by its "
            f"content is {kind}"
        )


def shipped():
    """The weights that come with the package: a sorted list of `(preset, name)`."""
    files = FOLDER.glob(f"*{_ENDING}")
    return sorted(
        tuple(file.name.removesuffix(_ENDING).rsplit("_", 1)) for file in files
    )
