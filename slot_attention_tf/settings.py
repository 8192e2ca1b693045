"""Settings as frozen dataclasses: checked, kept as JSON, and turned into flags.

A field made by `setting` is documented once and becomes a flag of the scripts, an
argument of `slot_attention_tf.train` and a line of a run's `config.json`.
"""

import dataclasses
import types
import typing
from numbers import Integral, Real


def setting(text, default=dataclasses.MISSING, minimum=1, choices=None):
    """A documented field of a dataclass of settings.

    Args:
        text: String, one line of help.
        default: Default value; without one the field is required.
        minimum: Least value of an integer, or of each integer of a tuple.
        choices: Optional tuple of the strings that are allowed.

    Returns:
        A `dataclasses.field`.
    """
    metadata = {"help": text, "minimum": minimum, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def with_default(settings_class, name, default):
    """A field of a base class again, with another default.

    Args:
        settings_class: The dataclass that has the field; its help and bounds stay.
        name: String, the name of the field.
        default: The new default value.

    Returns:
        A `dataclasses.field`.
    """
    metadata = settings_class.__dataclass_fields__[name].metadata
    return dataclasses.field(default=default, metadata=metadata)


def kind_of(field):
    """Returns `(type, is_optional)` of a field: int, float, bool, str or tuple."""
    annotation, optional = field.type, False
    if isinstance(annotation, types.UnionType):
        annotation, optional = typing.get_args(annotation)[0], True
    return typing.get_origin(annotation) or annotation, optional


def replace(settings, **changes):
    """Returns settings with some values replaced, all of them checked.

    Args:
        settings: An instance of a dataclass of settings.
        **changes: New values by the name of their field.

    Raises:
        ValueError: If a name is unknown or a value is not what the field takes.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}
    unknown = sorted(changes.keys() - fields.keys())
    if unknown:
        raise ValueError(
            f"{type(settings).__name__} has the settings {', '.join(fields)}. "
            f"Received: {', '.join(f'{name}={changes[name]!r}' for name in unknown)}"
        )
    checked = {name: check(fields[name], value) for name, value in changes.items()}
    return dataclasses.replace(settings, **checked)


def check(field, value):
    """Returns a value as its field takes it, or raises ValueError.

    Args:
        field: A `dataclasses.Field` made by `setting`.
        value: The value; lists, as JSON has them, become tuples.
    """
    kind, optional = kind_of(field)
    if value is None and optional:
        return None
    if kind is tuple and isinstance(value, (list, tuple)):
        length = _length(field)
        if length not in (None, len(value)):
            raise ValueError(
                f"`{field.name}` must be {length} integers. "
                f"Received: {field.name}={tuple(value)}"
            )
        return tuple(_check_integer(field, each) for each in value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and not isinstance(value, bool):
        return _check_integer(field, value)
    if kind is float and isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    choices = field.metadata["choices"]
    if kind is str and isinstance(value, str) and (not choices or value in choices):
        return value
    wanted = f"one of {', '.join(choices)}" if choices else f"of type {kind.__name__}"
    raise ValueError(
        f"`{field.name}` must be {wanted}. Received: {field.name}={value!r}"
    )


def _length(field):
    """How many integers a field of type tuple takes; None for any number."""
    annotation = field.type
    if isinstance(annotation, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    kinds = typing.get_args(annotation)
    return None if Ellipsis in kinds else len(kinds)


def parse(field, text):
    """Returns the value of a field that a flag's text means, or raises ValueError."""
    kind, optional = kind_of(field)
    if optional and text.lower() == "none":
        return None
    try:
        if kind is tuple:
            return check(field, [int(each) for each in text.strip("()").split(",")])
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return check(field, kind(text))
    except (ValueError, KeyError) as error:
        if "Received" in str(error):
            raise
        raise ValueError(
            f"`{field.name}` must be {_words(kind)}. Received: {field.name}={text!r}"
        ) from None


def from_json(settings_class, values):
    """Settings from the dictionary that `dataclasses.asdict` and JSON made of them.

    Names that the class no longer has are left out; fields that the dictionary lacks
    take their defaults.
    """
    fields = {field.name: field for field in dataclasses.fields(settings_class)}
    known = {
        name: check(fields[name], value)
        for name, value in values.items()
        if name in fields
    }
    return settings_class(**known)


def _check_integer(field, value):
    minimum = field.metadata["minimum"]
    if not isinstance(value, Integral) or value < minimum:
        raise ValueError(
            f"`{field.name}` must be at least {minimum}. "
            f"Received: {field.name}={value!r}"
        )
    return int(value)


def _words(kind):
    return {
        tuple: "integers with commas between them",
        int: "an integer",
        float: "a number",
        bool: "true or false",
    }.get(kind, f"of type {kind.__name__}")
