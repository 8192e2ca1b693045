"""What every layer and model of the package must survive, in one function."""

import json

import keras
import numpy as np


def run_saving_checks(
    make,
    inputs,
    tmp_path,
    *,
    call_arguments=None,
    output_shape,
    num_trainable,
    num_non_trainable=0,
    mixed_precision_atol=0.05,
):
    """Runs the whole list of checks on a layer.

    Args:
        make: Function that returns a new layer; takes keyword arguments of `Layer`.
        inputs: Float32 array `[B, ...]`, `B` at least 2.
        tmp_path: An empty folder.
        call_arguments: Dictionary of further arguments of a call: numbers that it
            requires, or arrays with the batch as first axis.
        output_shape: Shape without batch of the output, or a list of them.
        num_trainable: Expected number of trainable weights.
        num_non_trainable: Expected number of the others, random states included.
        mixed_precision_atol: How far half precision may be off. None: not compared,
            for random outputs.
    """
    arguments = call_arguments or {}
    checks = _Checks(make, inputs, arguments, output_shape, tmp_path)
    layer = checks.layer
    assert len(layer.trainable_weights) == num_trainable
    assert len(layer.non_trainable_variables) == num_non_trainable
    checks.shapes()
    checks.symbolic_call()
    checks.dynamic_batch()
    checks.config_round_trip()
    checks.weights_round_trip()
    checks.inside_other_models()
    checks.training_step()
    if mixed_precision_atol is not None:
        checks.mixed_precision(mixed_precision_atol)


class _Checks:
    def __init__(self, make, inputs, arguments, output_shape, folder):
        self.make, self.inputs, self.arguments = make, inputs, arguments
        self.folder = folder
        self.required = {
            name: value
            for name, value in arguments.items()
            if not hasattr(value, "shape")
        }
        one = not isinstance(output_shape, list)
        self.output_shapes = [output_shape] if one else output_shape
        self.layer = make()
        self.expected = self.call(self.layer)
        assert self.layer.built

    def call(self, layer, batch=None):
        arguments = {
            name: value[:batch] if hasattr(value, "shape") else value
            for name, value in self.arguments.items()
        }
        for variable in layer.non_trainable_variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign([0, 0])
        return _arrays(layer(self.inputs[:batch], **arguments))

    def assert_same(self, layer):
        """Bit for bit."""
        outputs = self.call(layer)
        for output, expected in zip(outputs, self.expected, strict=True):
            np.testing.assert_array_equal(output, expected)

    def shapes(self):
        for output, shape in zip(self.expected, self.output_shapes, strict=True):
            assert output.shape == (len(self.inputs), *shape)
            assert output.dtype == np.float32
            assert np.isfinite(output).all()

    def symbolic_call(self):
        """A Functional model of unknown batch size; shapes are known in advance."""
        model = self.functional(self.make())
        for output, shape in zip(_flat(model.output), self.output_shapes, strict=True):
            assert tuple(output.shape) == (None, *shape)
            assert output.dtype == "float32"

    def dynamic_batch(self):
        for batch in (1, 2):
            for output, expected in zip(
                self.call(self.layer, batch), self.expected, strict=True
            ):
                np.testing.assert_allclose(output, expected[:batch], atol=1e-5)

    def config_round_trip(self):
        config = json.loads(json.dumps(self.layer.get_config()))
        copy = type(self.layer).from_config(config)
        assert json.loads(json.dumps(copy.get_config())) == config
        self.call(copy)
        copy.set_weights(self.layer.get_weights())
        self.assert_same(copy)
        again = keras.saving.deserialize_keras_object(
            json.loads(json.dumps(keras.saving.serialize_keras_object(self.layer)))
        )
        assert type(again) is type(self.layer)

    def weights_round_trip(self):
        """`save_weights` and `load_weights`, of the layer in some model."""
        model, other = self.wrapper(self.layer), self.wrapper(self.make())
        for each in (model, other):
            each(self.inputs)
        path = self.folder / "layer.weights.h5"
        model.save_weights(path)
        other.load_weights(path)
        self.assert_same(other.inner)

    def inside_other_models(self):
        """Functional, Sequential and subclassed models, saved and cloned."""
        functional = self.functional(self.layer)
        models = {"functional": functional, "subclassed": self.wrapper(self.layer)}
        if not self.required:
            models["sequential"] = keras.Sequential(
                [keras.Input(self.inputs.shape[1:]), self.layer]
            )
        classes = {type(self.layer).__name__: type(self.layer)}
        for name, model in models.items():
            model(self.inputs)
            path = self.folder / f"{name}.keras"
            model.save(path)
            self.assert_same(_find(keras.saving.load_model(path), type(self.layer)))
        loaded = keras.saving.load_model(path, custom_objects=classes)
        self.assert_same(_find(loaded, type(self.layer)))
        del models["subclassed"]  # Keras clones the other kinds only.
        for model in models.values():
            clone = keras.models.clone_model(model)
            clone.set_weights(model.get_weights())
            inner = _find(clone, type(self.layer))
            assert inner is not self.layer
            self.assert_same(inner)

    def training_step(self):
        """One step of `fit` through another model changes the layer's weights."""
        layer = self.make()
        model = self.functional(layer)
        weights = [variable.numpy() for variable in layer.trainable_weights]
        outputs = _flat(model.output)
        model = keras.Model(model.input, outputs)
        model.compile(keras.optimizers.SGD(0.1), loss=["mse"] * len(outputs))
        targets = [np.ones_like(expected) for expected in self.expected]
        history = model.fit(self.inputs, targets, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        if not weights:
            return
        changed = [
            np.abs(variable.numpy() - before).max() > 0
            for variable, before in zip(layer.trainable_weights, weights, strict=True)
        ]
        # A softmax is blind to some biases; everything else must move.
        assert np.mean(changed) > 0.5

    def mixed_precision(self, atol):
        half = self.make(dtype="mixed_float16")
        self.call(half)
        assert {variable.dtype for variable in half.trainable_weights} <= {"float32"}
        half.set_weights(self.layer.get_weights())
        for output, expected in zip(self.call(half), self.expected, strict=True):
            np.testing.assert_allclose(
                output.astype("float32"), expected, atol=atol, rtol=0.05
            )

    def functional(self, layer):
        inputs = keras.Input(self.inputs.shape[1:])
        return keras.Model(inputs, layer(inputs, **self.required))

    def wrapper(self, layer):
        return _Wrapper(layer, self.required)


@keras.saving.register_keras_serializable(package="tests")
class _Wrapper(keras.Model):
    """Somebody's subclassed model around a layer."""

    def __init__(self, inner, arguments, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner
        self.arguments = arguments

    def call(self, inputs):
        return _flat(self.inner(inputs, **self.arguments))[0]

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        config = {"inner": inner, "arguments": dict(self.arguments)}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        inner = keras.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


def _find(model, layer_class):
    (layer,) = (each for each in model._flatten_layers() if type(each) is layer_class)
    return layer


def _flat(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def _arrays(outputs):
    return [keras.ops.convert_to_numpy(output) for output in _flat(outputs)]
