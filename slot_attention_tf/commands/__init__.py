"""The command lines: flags made from settings, and errors in one line.

Nothing here imports TensorFlow before `prepare_environment` has run.
"""

import sys

from absl import app, flags

from slot_attention_tf.remote import BucketError


def define(name, default, text, parse=None, choices=None):
    """Defines a flag of this command, so that `--help` lists it.

    Args:
        name: String.
        default: Default value. A boolean makes a flag `--name` and `--noname`.
        text: String, help.
        parse: Optional function from the text that a user gives to the value, which
            raises ValueError. Default: as the type of `default`.
        choices: Optional list of the strings that are allowed.
    """
    if choices is not None:
        flag = flags.EnumFlag(name, default, text, list(choices))
    elif isinstance(default, bool) or parse is bool:
        flag = flags.BooleanFlag(name, default, text)
    else:
        kinds = {int: flags.IntegerParser(lower_bound=0), float: flags.FloatParser()}
        parser = _Parser(parse) if parse else kinds.get(type(default), _Text())
        flag = flags.Flag(parser, flags.ArgumentSerializer(), name, default, text)
    flags.DEFINE_flag(flag, module_name=sys.argv[0])


def run_command(main, usage=None):
    """Parses the flags and runs `main`; known errors end it with one line.

    Args:
        main: Function; of the words that are no flags, if there is a `usage`.
        usage: Optional string for `--help` of a command that takes such words. Scripts
            have a docstring for that; what pip installs has none.
    """

    def guarded(argv):
        if usage is None and len(argv) > 1:
            raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
        try:
            main() if usage is None else main(argv[1:])
        except _known_errors() as error:
            sys.exit(f"{type(error).__name__}: {error}")

    if usage is not None:
        sys.modules["__main__"].__doc__ = usage
    app.run(guarded)


def _known_errors():
    """Errors of use and of training. Who did not train needs no TensorFlow here."""
    loop = sys.modules.get("slot_attention_tf.training.loop")
    names = ("NonFiniteLossError", "SaveError", "WorkerLostError")
    of_training = [getattr(loop, name) for name in names] if loop else []
    return (ValueError, FileNotFoundError, BucketError, *of_training)


def as_integer(text):
    """Parses an integer of at least 1."""
    if not str(text).isdigit() or int(text) < 1:
        raise ValueError(f"An integer of at least 1 is needed. Received: {text!r}")
    return int(text)


_Text = flags.ArgumentParser


class _Parser(flags.ArgumentParser):
    """A parser of absl from a function."""

    def __init__(self, function):
        self.parse = function
