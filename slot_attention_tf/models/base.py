"""What every model of the package can do: one loss, named outputs, presets."""

import shutil
import tempfile
import warnings

import keras
import numpy as np
from keras import ops

from slot_attention_tf.models.registry import presets_of
from slot_attention_tf.pretrained import (
    check_kind,
    check_not_a_run,
    make_model,
)


@keras.saving.register_keras_serializable(package="slot_attention_tf")
class PerExampleLoss(keras.losses.Loss):
    """Takes losses that are computed already; Keras weighs and averages them."""

    def __init__(self, reduction="sum_over_batch_size", name="loss", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return y_pred


class _ClassProperty:
    """A property of a class, as KerasHub has it for `presets`."""

    def __init__(self, function):
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance, owner):
        return self.function(owner)


class BaseModel(keras.Model):
    """Base class of the models: all that tasks, training and export rely on.

    A model is called on images and knows its own loss. A subclass defines `call`,
    `loss_per_example`, `named_outputs` and, if it draws random numbers, `noise_shape`;
    lists in `_PARTS` the constructor's arguments that are layers; and has the
    attributes `resolution`, `num_channels` and `num_slots`. Its file ends with its
    presets and `register_model`.
    """

    _PARTS = ()
    takes_initial_slots = False
    _range_checked = False

    def __call__(self, images, *args, **kwargs):
        # `fit` and `predict` on a dataset of ours hand on whole batches.
        if isinstance(images, dict):
            images = images["image"]
        return super().__call__(images, *args, **kwargs)

    def loss_per_example(self, batch, outputs=None, training=True):
        """The loss that the model trains on, one number for each image.

        Args:
            batch: Dictionary with `"image"`, float `[B, H, W, C]` in `[-1, 1]`, and
                what else the model learns from, as the data pipelines make it.
            outputs: What the model returned for these images, if it was called already.
            training: Boolean, passed on to `call`.

        Returns:
            Float tensor `[B]`.
        """
        raise NotImplementedError

    def named_outputs(self, images, **options):
        """Calls the model and gives each of its outputs a name.

        Args:
            images: Float tensor `[B, H, W, C]`, values in `[-1, 1]`.
            **options: Call arguments, such as `num_slots`.

        Returns:
            Dictionary from name to tensor, the batch first. Models that find objects
            have `reconstruction` `[B, H, W, C]`, `slot_images` `[B, K, H, W, C]`,
            `masks` `[B, K, H, W, 1]`, `segmentation` int32 `[B, H, W]` and `slots`;
            models that predict sets have `predictions` `[B, K, P]`. Models with
            attention add `attention` `[B, T, N, K]`.
        """
        raise NotImplementedError

    def noise_shape(self, num_slots=None, num_iterations=None):
        """Shape, without the batch, of the call argument `noise`.

        A model that starts from random numbers takes standard normal `noise` in place
        of its own draws, so that an image's result does not depend on its batch.

        Returns:
            A tuple, or None for a model that takes no `noise`.
        """
        return None

    def check_training(self, images):
        """Warns of settings under which the model cannot learn; called once per run.

        Args:
            images: A batch of training images.
        """

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """As `keras.Model.compile`; the loss is `loss_per_example`."""
        if loss is not None and not isinstance(loss, PerExampleLoss):
            raise ValueError(
                f"{type(self).__name__} trains on its own loss: leave `loss` out, or "
                f"override `loss_per_example`. Received: loss={loss!r}"
            )
        self._compile_with(optimizer, None, **kwargs)

    def _compile_with(self, optimizer, loss, **kwargs):
        self._has_own_loss = loss is None or isinstance(loss, PerExampleLoss)
        loss = PerExampleLoss() if self._has_own_loss else loss
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`; warns of images of another range."""
        self._check_range(x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`; warns of images of another range."""
        self._check_range(x)
        return super().predict(x, *args, **kwargs)

    def fit(
        self, x=None, y=None, *args, sample_weight=None, class_weight=None, **kwargs
    ):
        """As `keras.Model.fit`, without weights that Keras would ignore."""
        if class_weight is not None:
            raise ValueError(
                f"{type(self).__name__} predicts no classes: use `sample_weight`. "
                f"Received: class_weight={class_weight}"
            )
        if sample_weight is not None and y is None:
            raise ValueError(
                "Keras ignores `sample_weight` without targets: give the images as "
                "targets too, fit(images, images, sample_weight=...). "
                "Received: sample_weight, but y=None"
            )
        self._check_range(x)
        self._build_optimizer()
        return super().fit(x, y, *args, sample_weight=sample_weight, **kwargs)

    def _build_optimizer(self):
        """Makes the optimizer's variables before TensorFlow traces a step.

        A step that makes variables is traced twice. Other backends, and Keras under a
        strategy, make them before.
        """
        if keras.backend.backend() != "tensorflow" or self._distribute_strategy:
            return
        optimizer = getattr(self, "optimizer", None)  # None if it is not compiled.
        if self.built and optimizer is not None and not optimizer.built:
            optimizer.build(self.trainable_variables)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Mean of `loss_per_example`, weighted, plus the losses of layers."""
        if not self._has_own_loss:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        batch = self._as_batch(x, y)
        losses = self.loss_per_example(batch, outputs=y_pred, training=training)
        return super().compute_loss(
            x=x,
            y=ops.zeros_like(losses),
            y_pred=losses,
            sample_weight=sample_weight,
            training=training,
        )

    def _as_batch(self, x, y):
        """What `fit` hands on, as `loss_per_example` takes it.

        Args:
            x: Images, or a batch of our pipelines, which is left as it is.
            y: Targets, or None.
        """
        return x if isinstance(x, dict) else {"image": x, "target": y}

    def _check_images(self, images):
        """Raises ValueError unless images are what the model was built for."""
        shape, dtype = (
            tuple(images.shape),
            keras.backend.standardize_dtype(images.dtype),
        )
        expected = (*self.resolution, self.num_channels)
        if len(shape) != 4 or shape[1:] != expected:
            raise ValueError(
                "Images must have the shape [batch, height, width, channels] with "
                f"{expected} for the last three: resize them, or build the model with "
                "their `resolution` and `num_channels`. "
                f"Received: images.shape={shape}"
            )
        if shape[0] == 0:
            raise ValueError(
                f"A batch must hold at least one image. Received: images.shape={shape}"
            )
        if "float" not in dtype:
            raise ValueError(
                "Images must be floats in [-1, 1]: scale them with "
                "slot_attention_tf.preprocess_images(images). "
                f"Received: images of dtype {dtype}"
            )

    def _check_range(self, images):
        """Warns once of images that do not seem to lie in `[-1, 1]`."""
        if self._range_checked or not hasattr(images, "__array__"):
            return
        self._range_checked = True
        some = np.asarray(images[:16])
        if some.dtype.kind not in "fui" or not some.size:
            return  # Another check says what is wrong with them.
        low, high = some.min(), some.max()
        if low < -1.01 or high > 1.01 or 0 <= low < high:
            warnings.warn(
                f"Images should lie in [-1, 1]; these range from {low:g} to {high:g}. "
                "Scale uint8 images with slot_attention_tf.preprocess_images(images), "
                "and images in [0, 1] with images * 2 - 1.",
                stacklevel=3,
            )

    def export(self, filepath, format="tf_saved_model", verbose=None, **options):
        """Writes the model for programs that have neither Keras nor this package.

        Inputs are `images`, float32 `[B, H, W, C]` with values in `[-1, 1]`, and where
        the model starts from: `initial_slots` `[B, K, D]` of a model with Slot
        Attention, standard normal `noise` of another that draws random numbers.
        Outputs are those of `named_outputs`.

        | format | | sizes |
        |---|---|---|
        | `"tf_saved_model"` | a folder, see `export_saved_model` | any `B` and `K` |
        | `"onnx"` | a file for ONNX Runtime | any `B` and `K` |
        | `"litert"` | a file for LiteRT, built-in operations only | `B` and `K` fixed |

        `K` is fixed too of a Slot MLP and of models that start from `noise`.

        A SavedModel can also draw random starts, anew or from a seed. ONNX and LiteRT
        cannot take a seed: draw the start in the program. `export_onnx_steps` writes a
        file that turns standard normal noise into initial slots.

        Args:
            filepath: The folder or file to write.
            format: String, one of the formats above. `"onnx"` needs
                `pip install slot_attention_tf[onnx]`.
            verbose: Ignored. Nothing is printed.
            **options: `num_iterations`, an integer, of all formats; `num_slots`, an
                integer, of SavedModels and LiteRT; `batch_size`, an integer, of LiteRT.
                Default: the model's, and 1 for `batch_size`.

        Raises:
            ImportError: If the converter to ONNX is not installed.
            RuntimeError: Under another Keras backend than TensorFlow.
            ValueError: If the format is unknown, or cannot hold the model: ONNX and
                LiteRT take models that compute in float32, without gradients inside,
                so neither IODINE nor DSPN. Nothing is written then.
        """
        from slot_attention_tf import export

        exporters = {
            "tf_saved_model": export.export_saved_model,
            "onnx": export.export_onnx,
            "litert": export.export_litert,
        }
        if format not in exporters:
            raise ValueError(
                f"`format` must be one of {', '.join(exporters)}. "
                f"Received: format={format!r}"
            )
        exporters[format](self, filepath, **options)

    def quantize(self, mode, **kwargs):
        """Refused: a quantized model could be saved but not loaded."""
        raise NotImplementedError(
            f"{type(self).__name__} does not support quantization: its saved file "
            "could not be loaded. Export the model and quantize the exported file. "
            f"Received: mode={mode!r}"
        )

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        # What tf.train.Checkpoint saves: of itself it leaves out, without a word, the
        # layers that a layer of Keras 3 keeps in a list.
        children = super()._trackable_children(save_type, **kwargs)
        if save_type == "checkpoint":
            children |= {f"weight_{i}": w for i, w in enumerate(self.weights)}
        return children

    def get_config(self):
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in self._PARTS
        }
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in cls._PARTS:
            if isinstance(config.get(part), dict):
                config[part] = keras.saving.deserialize_keras_object(config[part])
        model = cls(**config)
        for part in (getattr(model, name) for name in cls._PARTS):
            if not part.trainable:
                # Keras restores the flag of a layer, but not of the layers inside,
                # and takes no notice of a value that is set already.
                part.trainable = True
                part.trainable = False
        return model

    def compile_from_config(self, config):
        """Compiles a loaded model as it was, with its optimizer's state."""
        # Keras leaves this to models that define `compile` anew.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @_ClassProperty
    def presets(cls):
        """The presets of this model: a dictionary by name."""
        return presets_of(cls)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **overrides):
        """Makes the model of a preset, with trained weights.

        Args:
            preset: String or path, one of:

                - a key of `presets`: weights that come with the package are loaded,
                  and without any the model is untrained, which a warning says;
                - the folder of a training run, for its `model.keras`, written when a
                  run ends, or if there is none its newest checkpoint;
                - a folder written by `save_to_preset`, or `"hf://user/name"` for such
                  a folder on the Hugging Face Hub;
                - a file `*.keras`, written by `save`.
            load_weights: Boolean, `False` for an untrained model.
            **overrides: Arguments of the constructor, such as `num_slots`, that replace
                those of the preset; for a key of `presets` also fields of the preset,
                such as `learning_rate`. What the weights depend on, such as
                `slot_size`, can be replaced without loading weights only.

        Returns:
            The model, not compiled. `keras.saving.load_model` also restores the
            optimizer.

        Raises:
            ValueError: If there is no such preset, it is of another model, or its
                weights do not fit the overrides.
            FileNotFoundError: If there is no such file, or a run has no weights yet.
            ImportError: If `huggingface_hub` is needed and not installed.

        Example:

        >>> model = SlotAttentionAutoEncoder.from_preset("tetrominoes_cpu")
        >>> model.num_slots
        4
        """
        return make_model(cls, preset, load_weights, overrides)

    def save_to_preset(self, folder):
        """Writes the model into a folder that `from_preset` reads.

        This is Keras's own directory format, as of `save(folder, zipped=False)`:
        `config.json`, `metadata.json` and `model.weights.h5`.
        `keras.saving.load_model(folder)` reads it too.

        To share the model on the Hugging Face Hub, `pip install huggingface_hub`, then:

        ```python
        from huggingface_hub import HfApi

        model.save_to_preset("my_model")
        HfApi().create_repo("user/my_model", exist_ok=True)
        HfApi().upload_folder(repo_id="user/my_model", folder_path="my_model")

        model = SlotAttentionAutoEncoder.from_preset("hf://user/my_model")
        ```

        Args:
            folder: Path, made if need be; a model that is there is replaced.

        Raises:
            ValueError: If the folder holds a training run, which this would destroy.
        """
        check_not_a_run(folder)
        with tempfile.TemporaryDirectory() as new:
            # Keras does not write over a folder of its own.
            self.save(new, zipped=False)
            shutil.copytree(new, folder, dirs_exist_ok=True)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """As `keras.Model.load_weights`; says in words what does not fit."""
        check_kind(filepath)
        try:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        except ValueError as error:
            raise ValueError(
                f"The weights do not fit this {type(self).__name__}: they are of "
                "another model, or of one with other sizes. "
                f"Received: filepath={str(filepath)!r} ({error})"
            ) from error
