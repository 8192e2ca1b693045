"""What a task must say of itself, and how a model is called on its data."""

import abc
import functools
from typing import ClassVar

import numpy as np
import tensorflow as tf

from slot_attention_tf.training.randomness import fixed_randomness


class Task(abc.ABC):
    """A task: data, scores and figures for any model that is registered for it.

    Attributes:
        name: String.
        default_preset: String, the preset with the reference release's defaults.
        default_model_dir: String, where the release's script writes.
        test_split: String, the split of the final evaluation.
        num_test_scenes: Integer, scenes of the final evaluation; None means all.
        train_split: String, the part of the training data that is trained on.
        watched_split: String, the rest, which is evaluated in the course of a run.
        num_watched_scenes: Integer, about how many of those.
        training_options: Dictionary, further options of `open_dataset` for training.
    """

    name: str
    default_preset: str
    default_model_dir: str
    test_split: str
    num_test_scenes: int | None
    train_split: str
    watched_split: str
    num_watched_scenes: int
    training_options: ClassVar[dict] = {}

    @abc.abstractmethod
    def open_dataset(self, preset, split, data_dir=None, **options):
        """Batches of a split, as a preset wants them.

        Args:
            preset: A `Preset`.
            split: String, such as `"train"` or `"test[:100]"`.
            data_dir: Folder of all datasets, or None for that of TFDS.
            **options: Such as `num_scenes`, `shuffle`, `seed`, `repeat`, `start_batch`.

        Returns:
            A `tf.data.Dataset` of dictionaries with `"image"` and what else is needed.
        """

    @abc.abstractmethod
    def evaluate(self, model, dataset, seed=0, **options):
        """Scores a model on a dataset.

        Args:
            model: A model of this task.
            dataset: Finite dataset as `open_dataset` makes it.
            seed: Integer; an image's random start depends on it and on the place of the
                image in the dataset, not on the size of batches.
            **options: Call arguments such as `num_slots`.

        Returns:
            Dictionary from the names of scores to floats, and `num_images`.
        """

    @abc.abstractmethod
    def summary(self, scores):
        """One line for people from what `evaluate` returned."""

    @abc.abstractmethod
    def figures(self, model, batch, seed=0, **options):
        """Pictures of what a model does with a batch: figures by name."""

    @abc.abstractmethod
    def extract(self, model, dataset, seed=0, **options):
        """What a model finds in each image, for other models to take as input.

        Args:
            model: A model of this task.
            dataset: Dataset of batches; labels are optional.
            seed: As in `evaluate`.
            **options: Call arguments such as `num_slots`.

        Returns:
            Dictionary of arrays `[N, ...]` over all images.
        """

    def check(self, preset):  # noqa: B027  Most tasks have nothing to check.
        """Raises ValueError for settings under which a run could not learn."""

    def check_batch(self, preset, batch):  # noqa: B027
        """Raises ValueError, or warns, of data that does not suit the preset."""

    def signs_of_failure(self, scores, sibling_scores):
        """Sentences that say why a run seems to have failed; empty for a healthy one.

        Args:
            scores: What `evaluate` returned.
            sibling_scores: The same of runs that differ in nothing but their seed.
        """
        return []


def predict(model, dataset, seed=0, reduce=None, **options):
    """Calls a model on all images of a dataset, each with a random start of its own.

    Args:
        model: A model with `named_outputs`.
        dataset: Dataset of dictionaries with `"image"`.
        seed: Integer. Image `i` starts from the noise of `default_rng([seed, i])`.
        reduce: Optional function of `(model, batch, outputs)`, compiled with the model,
            to what is wanted of each batch: a dictionary of tensors. Default: all
            outputs.
        **options: Call arguments such as `num_slots`; None means the model's own.

    Yields:
        For each batch, a dictionary of NumPy arrays.

    Raises:
        ValueError: If the dataset holds no batch.
    """
    options = {name: value for name, value in options.items() if value is not None}
    shape = model.noise_shape(**options)
    call = _compiled(
        model, reduce, tuple(options.items()), shape, _any_size(dataset.element_spec)
    )
    start = 0
    with fixed_randomness(model, seed):
        for batch in dataset:
            size = len(batch["image"])
            noise = None if shape is None else image_noise(seed, start, size, shape)
            outputs = call(batch, noise)
            start += size
            yield {name: value.numpy() for name, value in outputs.items()}
    if not start:
        raise ValueError("The dataset to evaluate on holds no batch.")


def concatenate(parts):
    """Joins what is known of each batch: a list of dictionaries of arrays."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@functools.lru_cache(maxsize=4)
def _compiled(model, reduce, options, noise_shape, batch_spec):
    """A model's call and what is wanted of it, for batches of any size."""
    outputs_of = _traced(model, options)

    def call(batch, noise):
        outputs = outputs_of(batch["image"], noise)
        return outputs if reduce is None else reduce(model, batch, outputs)

    noise = None if noise_shape is None else tf.TensorSpec((None, *noise_shape))
    function = tf.function(call, autograph=False)
    return function.get_concrete_function(dict(batch_spec), noise)


@functools.lru_cache(maxsize=4)
def _traced(model, options):
    """A model's call, traced once: scores and pictures share it."""

    def call(image, noise):
        given = {} if noise is None else {"noise": noise}
        return model.named_outputs(image, **dict(options), **given)

    return tf.function(call, autograph=False)


def _any_size(element_spec):
    """The specification of a dataset's batches, without their size; hashable."""
    return tuple(
        (name, tf.TensorSpec((None, *spec.shape[1:]), spec.dtype))
        for name, spec in element_spec.items()
    )


def image_noise(seed, first, number, shape):
    """Standard normal noise of images by their place in a dataset.

    Args:
        seed: Integer of at least 0.
        first: Integer, the place of the first image.
        number: Integer, how many images.
        shape: Shape of the noise of one image.

    Returns:
        Float32 array `[number, *shape]`.
    """
    return np.stack(
        [
            np.random.default_rng([seed, index]).standard_normal(shape, "float32")
            for index in range(first, first + number)
        ]
    )
