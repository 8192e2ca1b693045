"""Generates or converts datasets, and opens prepared ones.

python -m slot_attention_tf.data.prepare tetrominoes/synthetic
python -m slot_attention_tf.data.prepare tetrominoes/real --manual_dir=DIRECTORY
python -m slot_attention_tf.data.prepare tetrominoes/tiny --num_train=1000
"""

import argparse
import contextlib
import dataclasses
import sys
import warnings

import tensorflow_datasets as tfds
from etils import epath

from slot_attention_tf.data.builders import SceneBuilder
from slot_attention_tf.environment import prepare_environment
from slot_attention_tf.remote import is_remote, local_dataset


def prepare(name, data_dir=None, manual_dir=None, **options):
    """Downloads or generates a dataset, unless it was prepared before.

    Args:
        name: String, `<dataset>/<config>`, like `"tetrominoes/synthetic"`.
        data_dir: Path of the directory of all datasets; `None` means that of TFDS.
        manual_dir: Path of a directory that holds the public file, directly or as in
            the public bucket (`tetrominoes/tetrominoes_train.tfrecords`); nothing is
            downloaded then.
        **options: Fields of a new configuration, like `num_train=1000`. `<config>` is
            then its name, and must be new.

    Returns:
        The TFDS builder of the prepared dataset.

    Raises:
        FileNotFoundError: `manual_dir` does not hold the public file.
        ConnectionError: The public file cannot be downloaded.
        ValueError: The name or an option does not fit.
    """
    builder_cls, config, _ = _resolve(name)
    known = builder_cls.builder_configs
    if config not in known and options:
        names = {
            field.name for field in dataclasses.fields(builder_cls.builder_config_cls)
        }
        if unknown := options.keys() - names:
            raise ValueError(
                f"The options of {builder_cls.name!r} are {sorted(names)}. "
                f"Received: {', '.join(f'{n}={options[n]!r}' for n in sorted(unknown))}"
            )
        config = builder_cls.builder_config_cls(name=config, **options)
    elif options or (config and config not in known):
        with contextlib.suppress(FileNotFoundError):
            if not options:
                return open_prepared(name, data_dir)
        raise ValueError(
            f"The configurations of {builder_cls.name!r} are {sorted(known)}. Options "
            "make a new one, and need a new name. "
            f"Received: name={name!r}, options={options}"
        )
    builder = builder_cls(config=config, data_dir=data_dir)
    if not builder.data_path.exists():
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
        return builder
    if options:
        _check_options(builder, options)
    if manual_dir is not None:
        warnings.warn(
            f"{builder.data_path} was prepared before and is not read again: delete it "
            f"to prepare other files. Received: manual_dir={str(manual_dir)!r}",
            stacklevel=2,
        )
    return builder


def open_prepared(name, data_dir=None):
    """Returns the TFDS builder of a dataset that was prepared before.

    The builder's code is not needed.

    Args:
        name: String, `<dataset>/<config>`, or `<dataset>` for the default config;
            `:<version>` may follow.
        data_dir: Path of the directory of all datasets; `None` means that of TFDS.

    Raises:
        FileNotFoundError: The dataset was not prepared; names the command to run.
        ValueError: There is no dataset of this name.
    """
    root = epath.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    with contextlib.suppress(tfds.core.DatasetNotFoundError):
        if not _is_known(name):
            builder = tfds.builder(name, data_dir=root)
            if not is_remote(root):
                return builder
            return tfds.builder_from_directory(local_dataset(builder.data_path))
    builder_cls, config, version = _resolve(name)
    path = root / builder_cls.name / (config or "") / version
    if not (path / "dataset_info.json").exists():
        option = "" if data_dir is None else f" --data_dir={data_dir}"
        raise FileNotFoundError(
            f"The dataset {name!r} is not in {path}. To make or download it, run\n"
            f"    python -m slot_attention_tf.data.prepare {name}{option}\n"
            "with the options that defined it, like --num_train=1000, if any."
        )
    return tfds.builder_from_directory(local_dataset(path))


def _is_known(name):
    """Tells whether the code of the builder of a dataset has been imported."""
    try:
        tfds.builder_cls(name.partition(":")[0].partition("/")[0])
    except tfds.core.DatasetNotFoundError:
        return False
    return True


def _resolve(name):
    """Returns the builder class, the name of the config, and the version."""
    name_only, _, version = name.partition(":")
    dataset, _, config = name_only.partition("/")
    try:
        builder_cls = tfds.builder_cls(dataset)
    except tfds.core.DatasetNotFoundError:
        raise ValueError(
            f"There is no dataset {dataset!r}. This package has {known_datasets()}, "
            f"besides those of TFDS. Received: name={name!r}"
        ) from None
    if not config and builder_cls.BUILDER_CONFIGS:
        default = builder_cls.DEFAULT_BUILDER_CONFIG_NAME
        config = default or builder_cls.BUILDER_CONFIGS[0].name
    return builder_cls, config or None, version or str(builder_cls.VERSION)


def known_datasets():
    """Returns the names of this package's datasets with their configs."""
    return sorted(
        f"{cls.name}/{config.name}"
        for cls in SceneBuilder.__subclasses__()
        for config in cls.BUILDER_CONFIGS
    )


def _check_options(builder, options):
    prepared = builder.info.metadata["config"]
    asked = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    different = {k for k, v in asked.items() if prepared.get(k) != v}
    if different:
        raise ValueError(
            f"{builder.data_path} was prepared with other options: {prepared}. "
            f"Choose another name for the configuration. Received: options={options}"
        )


def _parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m slot_attention_tf.data.prepare",
        description="Generates or converts a dataset.",
        epilog=f"Datasets: {', '.join(known_datasets())}",
    )
    parser.add_argument("name", help="<dataset>/<config>")
    parser.add_argument("--data_dir", help="directory of all datasets")
    parser.add_argument(
        "--manual_dir",
        help="directory that holds the public file: directly, or in the "
        "folders of the public bucket; nothing is downloaded then",
    )
    arguments = sys.argv[1:] if arguments is None else arguments
    # With a name, the help lists the flags of that dataset too.
    others = [word for word in arguments if word not in ("-h", "--help")]
    name = parser.parse_known_args(others or arguments)[0].name
    config_cls = _resolve(name)[0].builder_config_cls
    base = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    for field in dataclasses.fields(config_cls) if config_cls else ():
        if field.name not in base and field.type not in (dict, dict | None):
            kind = {"type": field.type if callable(field.type) else str}
            if field.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            parser.add_argument(
                f"--{field.name}",
                **kind,
                default=argparse.SUPPRESS,
                help=f"for a new configuration; default {field.default}",
            )
    return vars(parser.parse_args(arguments))


def main(arguments=None):
    """Runs the command line."""
    prepare_environment()
    try:
        builder = prepare(**_parse_arguments(arguments))
    except (ConnectionError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    print(f"{builder.info.full_name} is in {builder.data_path}: {sizes}")


if __name__ == "__main__":
    main()
