r"""Trains any model on JAX, on one GPU or CPU, without TensorFlow.

    python examples/train_on_jax.py --preset=tetrominoes_cpu --model_dir=runs/first
    python examples/train_on_jax.py --preset=clevr_cpu --model=slot_mlp --seed=1
    python examples/train_on_jax.py --preset=tetrominoes --precision=bfloat16 \
        --dataset=tetrominoes/synthetic --num_train_steps=45000

Scenes are generated, those that `slot_attention_tf.data.prepare` generates, and lie in
the memory of the device, where a hundred steps run as one compiled loop. It draws none
with masks at 128x128, which `clevr6` and `clevr6_grayscale` need. Every setting of the
preset is a flag. The folder of the run is as the training scripts make it: with
TensorFlow `eval/discovery.py` and `eval/set_prediction.py` score it, and `from_preset`
loads it. The same command continues a run that was stopped.
"""

import argparse
import dataclasses
import datetime
import os
import pathlib
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from jax import numpy as jnp

import slot_attention_tf as sa
from slot_attention_tf.clevr_properties import CATEGORIES, CROP, encode_coords
from slot_attention_tf.data.generators import (
    clevr,
    multi_dsprites,
    scenes,
    tetrominoes,
)
from slot_attention_tf.failures import NonFiniteLossError
from slot_attention_tf.metrics.average_precision import PAPER_THRESHOLDS, threshold_name
from slot_attention_tf.models.registry import find_model, model_names
from slot_attention_tf.settings import parse, replace
from slot_attention_tf.training.optimizer import make_optimizer
from slot_attention_tf.training.options import RunOptions
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.starts import choose_start, seeds_of_starts

_CLEVR = {"resolution": (128, 128), "min_objects": 3, "max_objects": 10, "crop": None}
_LAPTOP = {"resolution": (64, 64)}
# What the builders of these datasets draw: function, options, training scenes.
GENERATED = {
    "tetrominoes/synthetic/1.0.0": (tetrominoes.draw_scene, {}, 60_000),
    "multi_dsprites/colored_on_grayscale_synthetic/1.0.0": (
        multi_dsprites.draw_scene,
        {"variant": "colored_on_grayscale"},
        60_000,
    ),
    "multi_dsprites/binarized_synthetic/1.0.0": (
        multi_dsprites.draw_scene,
        {"variant": "binarized"},
        60_000,
    ),
    "clevr_with_masks/laptop/1.1.0": (
        clevr.draw_scene,
        _CLEVR | _LAPTOP | {"max_objects": 6, "crop": CROP},
        10_000,
    ),
    "synthetic_clevr/laptop/1.0.0": (
        clevr.draw_scene,
        _CLEVR | _LAPTOP | {"min_objects": 1, "max_objects": 4},
        20_000,
    ),
    "synthetic_clevr/laptop10/1.0.0": (
        clevr.draw_scene,
        _CLEVR | _LAPTOP,
        20_000,
    ),
    "synthetic_clevr/synthetic/1.0.0": (clevr.draw_scene, _CLEVR, 70_000),
}
LOG_INTERVAL = 100
_GRAY = np.array([0.2989, 0.587, 0.114], "float32")
PRECISIONS = ("float32", "bfloat16")
_TASKS = ("discovery", "set_prediction")


def full_name(dataset):
    """The name with the version of a dataset like `"tetrominoes/synthetic"`."""
    for name in GENERATED:
        if name.rpartition("/")[0] == dataset:
            return name
    known = ", ".join(name.rpartition("/")[0] for name in GENERATED)
    sys.exit(
        f"ValueError: What can be drawn here are {known}: give one as --dataset. "
        f"Received: --dataset={dataset}"
    )


def load_scenes(dataset, folder, number=None):
    """Training scenes as arrays, drawn once and kept in a folder."""
    name = full_name(dataset)
    draw_scene, options, everything = GENERATED[name]
    number = number or everything
    file = pathlib.Path(folder) / f"{name.replace('/', '-')}-{number}.npz"
    if not file.exists():
        print(f"Drawing {number} scenes into {file}.", flush=True)
        arrays = scenes.generate_scenes(draw_scene, number, seed=0, **options)
        names = ("image", "segmentation", "visibility", "3d_coords", *CATEGORIES)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{os.getpid()}-{file.name}")
        np.savez(partial, **{name: arrays[name] for name in names if name in arrays})
        partial.rename(file)
    with np.load(file) as arrays:
        return dict(arrays)


def select(arrays, task, preset):
    """What a model sees: `image` uint8, and `segmentation` or `target` `[N, n, 19]`."""
    if preset.max_num_objects is not None:
        fits = arrays["visibility"][:, 1:].sum(axis=1) <= preset.max_num_objects
        arrays = {name: values[fits] for name, values in arrays.items()}
    data = {"image": arrays["image"]}
    if data["image"].shape[1:3] != preset.resolution:
        size = ",".join(map(str, data["image"].shape[1:3]))
        sys.exit(
            f"ValueError: The scenes of {preset.dataset} are {size} pixels and are not "
            f"resized here: give --resolution={size}, or another --dataset. Received: "
            f"--resolution={','.join(map(str, preset.resolution))}"
        )
    if task == "discovery":
        return {**data, "segmentation": arrays["segmentation"][..., 0]}
    objects = slice(1, 1 + preset.max_num_objects)  # Behind the background.
    one_hot = [
        np.eye(len(values), dtype="float32")[arrays[name][:, objects].astype(int)]
        for name, values in CATEGORIES.items()
    ]
    present = arrays["visibility"][:, objects, None]
    coords = encode_coords(arrays["3d_coords"][:, objects])
    target = np.concatenate([coords, *one_hot, np.ones_like(present)], axis=-1)
    return {**data, "target": (target * present).astype("float32")}


def to_model_input(images, preset):
    """Pixels `[B, H, W, C]` as the data pipelines give them to the model."""
    images = jnp.asarray(images, "float32") / 127.5 - 1.0
    if preset.grayscale:
        images = jnp.sum(images * _GRAY, axis=-1, keepdims=True)
    if images.shape[-1] != preset.num_channels:
        images = jnp.repeat(images, preset.num_channels, axis=-1)
    return jnp.clip(images, -1.0, 1.0)


def make_train(model, optimizer, preset, data):
    """A compiled function of `(state, rows [S, B])` that takes S training steps."""
    variables = model.trainable_variables

    def loss_of(trainable, others, batch):
        mapping = [
            *zip(variables, trainable, strict=True),
            *zip(model.non_trainable_variables, others, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss = jnp.mean(model.loss_per_example(batch))
        others = [scope.get_current_value(v) for v in model.non_trainable_variables]
        return loss, others

    def step(state, rows):
        trainable, others, of_optimizer = state
        batch = {name: values[rows] for name, values in data_on_device.items()}
        batch["image"] = to_model_input(batch["image"], preset)
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, others, batch
        )
        if preset.clip_norm is not None:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(each)) for each in gradients))
            factor = jnp.minimum(1.0, preset.clip_norm / norm)
            gradients = [each * factor for each in gradients]
        trainable, of_optimizer = optimizer.stateless_apply(
            of_optimizer, gradients, trainable
        )
        return (trainable, others, of_optimizer), loss

    data_on_device = {
        name: jnp.asarray(data[name]) for name in ("image", "target") if name in data
    }

    def train(state, rows):
        return jax.lax.scan(step, state, rows)

    return jax.jit(train, donate_argnums=0)


def make_evaluate(model, preset, data):
    """A function without arguments that scores the model as it is."""
    variables = (*model.trainable_variables, *model.non_trainable_variables)

    @jax.jit
    def predict(values, images):
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            outputs = model.named_outputs(to_model_input(images, preset))
        return outputs["segmentation" if "segmentation" in data else "predictions"]

    def evaluate():
        values = [variable.value for variable in variables]
        images = data["image"]
        parts = [images[start : start + 32] for start in range(0, len(images), 32)]
        found = np.concatenate([np.asarray(predict(values, part)) for part in parts])
        if "segmentation" in data:
            scores = sa.adjusted_rand_index(data["segmentation"], found)
            return {"fg_ari": float(np.nanmean(np.asarray(scores)))}
        return {
            threshold_name(threshold): float(
                sa.average_precision_clevr(found, data["target"], threshold)
            )
            for threshold in PAPER_THRESHOLDS
        }

    return evaluate


class Run:
    """Model, optimizer and how far they are."""

    def __init__(self, entry, preset, seed, directory):
        keras.utils.set_random_seed(seed)
        self.directory, self.preset, self.seed = directory, preset, seed
        self.model = entry.model_class(**preset.model_arguments(), seed=seed)
        self.optimizer = make_optimizer(preset)
        self.optimizer.build(self.model.trainable_variables)
        self.step, self.seconds = 0, 0.0
        self._file = directory.path / "state.npz"

    def variables(self):
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            self.optimizer.variables,
        )

    def get(self):
        return tuple([v.value for v in group] for group in self.variables())

    def set(self, state):
        for group, values in zip(self.variables(), state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    def stored_step(self):
        """The step that `restore` would continue from."""
        if not self._file.exists():
            return 0
        with np.load(self._file) as stored:
            return int(stored["step"])

    def restore(self):
        self.step = self.stored_step()
        if not self.step:
            return
        with np.load(self._file) as stored:
            self.seconds = float(stored["seconds"])
            flat = iter(range(sum(map(len, self.variables()))))
            self.set([[stored[str(next(flat))] for _ in g] for g in self.variables()])

    def save(self):
        values = [np.asarray(v.value) for group in self.variables() for v in group]
        arrays = {str(number): value for number, value in enumerate(values)}
        partial = self._file.with_name("partial.npz")
        np.savez(partial, step=self.step, seconds=self.seconds, **arrays)
        partial.rename(self._file)

    def save_model(self, evaluate):
        """Scores and saves the model, with averaged weights if there are any."""
        state = self.get()
        if self.preset.ema is not None:
            self.optimizer.finalize_variable_values(self.model.trainable_variables)
        scores = evaluate()
        self.model.save(self.directory.path / "new.keras")
        (self.directory.path / "new.keras").rename(self.directory.model_file)
        self.set(state)
        return scores

    def train(self, train, evaluate, num_scenes, eval_interval):
        """Trains to the end; rows go to `metrics.jsonl`.

        Returns:
            The mean loss of the last steps.
        """
        preset, total = self.preset, self.preset.num_train_steps
        size = preset.batch_size
        self.directory.truncate_metrics(self.step)
        begin = time.monotonic() - self.seconds
        while self.step < total:
            steps = min(LOG_INTERVAL, total - self.step)
            rows = batches_of(num_scenes, size, self.seed, self.step, steps)
            state, losses = train(self.get(), rows)
            self.set(state)
            loss = float(jnp.mean(losses))
            self.step += steps
            if not np.isfinite(loss):
                text = f"The loss is {loss} at step {self.step}: {self.directory}"
                raise NonFiniteLossError(text)
            seconds = time.monotonic() - begin
            rate = steps * size / (seconds - self.seconds)
            self.seconds = seconds
            row = {"loss": loss, "images_per_s": rate, "seconds": round(seconds, 1)}
            self.directory.append_metrics({"step": self.step, **row})
            if self.step % eval_interval == 0 or self.step == total:
                scores = self.save_model(evaluate)
                self.directory.append_metrics({"step": self.step, **scores})
                self.save()
                text = "  ".join(
                    f"{name} {value:.3f}" for name, value in scores.items()
                )
                print(
                    f"{self.directory} {self.step}/{total}  loss {loss:.5f}  {text}  "
                    f"{1e3 * size / rate:.1f} ms a step, {seconds:.0f} s",
                    flush=True,
                )
                begin = time.monotonic() - seconds  # Scores are not training.
        losses = [r["loss"] for r in self.directory.read_metrics() if "loss" in r]
        return losses[-1]


def batches_of(num_scenes, batch_size, seed, start, steps):
    """Rows `[steps, batch_size]` of an endless stream, shuffled anew each epoch."""
    first, last = start * batch_size, (start + steps) * batch_size
    epochs = range(first // num_scenes, -(-last // num_scenes))
    order = [np.random.default_rng([seed, e]).permutation(num_scenes) for e in epochs]
    offset = first - epochs[0] * num_scenes
    rows = np.concatenate(order)[offset : offset + last - first]
    return rows.reshape(steps, batch_size).astype("int32")


def choose(model, preset):
    """The `ModelEntry` of a model that has a preset, for whichever task."""
    tasks = [task for task in _TASKS if model in model_names(task)]
    entries = [find_model(task, model) for task in tasks]
    for entry in entries:
        if preset in entry.presets:
            return entry
    known = ", ".join(name for entry in entries for name in entry.presets)
    sys.exit(
        f"ValueError: The presets of --model={model} are {known or 'none'}. "
        f"Received: --preset={preset}"
    )


def read_flags():
    """The options, the `ModelEntry`, and the preset with what flags replace of it."""
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("--model", default="slot_attention")
    parser.add_argument("--preset", default="tetrominoes_cpu")
    parser.add_argument("--model_dir", default="runs/jax", help="folder of the run")
    parser.add_argument("--scenes", default="runs/scenes", help="folder of the scenes")
    parser.add_argument("--num_scenes", type=int, help="training scenes to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--eval_interval", type=int, default=1_000)
    others = [flag for flag in sys.argv[1:] if flag not in ("-h", "--help")]
    options, _ = parser.parse_known_args(others)
    entry = choose(options.model, options.preset)
    preset = entry.presets[options.preset]

    def parser_of(field):
        def parse_field(text):
            try:
                return parse(field, text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(error) from None

        return parse_field

    settings = parser.add_argument_group("settings of the preset")
    fields = [each for each in dataclasses.fields(preset) if each.name != "description"]
    for field in fields:
        default = f" ({getattr(preset, field.name)})"
        kind = {"type": parser_of(field), "default": argparse.SUPPRESS}
        if field.type is bool:  # --NAME, --NAME=false or --noNAME, as absl has them.
            off = {"action": "store_const", "const": False, "help": argparse.SUPPRESS}
            off |= {"dest": field.name, "default": argparse.SUPPRESS}
            settings.add_argument(f"--no{field.name}", **off)
            kind |= {"nargs": "?", "const": True}
        help = (field.metadata["help"] + default).replace("%", "%%")
        settings.add_argument(f"--{field.name}", **kind, help=help)
    given = vars(parser.parse_args())
    names = {field.name for field in fields}
    changes = {name: value for name, value in given.items() if name in names}
    return options, entry, replace(preset, **changes)


def main():
    arguments, entry, preset = read_flags()
    try:
        seeds = seeds_of_starts(preset, arguments.seed)
    except ValueError as error:
        sys.exit(f"ValueError: {error}")
    if arguments.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{arguments.precision}")

    everything = load_scenes(preset.dataset, arguments.scenes, arguments.num_scenes)
    data = select(everything, entry.task, preset)
    if entry.task == "discovery":  # As the training scripts hold scenes out.
        border = round(0.98 * len(data["image"]))
        held_out = slice(border, border + 320)
        kept = slice(border)
    else:
        held_out, kept = slice(512), slice(512, None)
    watched = {name: values[held_out] for name, values in data.items()}
    data = {name: values[kept] for name, values in data.items()}
    if not (len(watched["image"]) and len(data["image"])):
        sys.exit(
            "ValueError: Too few scenes: discovery holds the last 2 % out, set "
            f"prediction the first 512. Received: --num_scenes={arguments.num_scenes}"
        )

    def train(directory, preset, seed, more):
        run = Run(entry, preset, seed, directory)
        config = describe(run, arguments, entry)
        # Another run in this folder is an error before anything is read of it.
        finished = run.stored_step() >= preset.num_train_steps
        directory.open_run({**config, **more}, finished)
        run.restore()
        starts = more.get("starts")
        if starts and run.step == preset.warmup_steps:
            run.seconds = sum(each["seconds"] for each in starts)
        loss = run.train(
            make_train(run.model, run.optimizer, preset, data),
            make_evaluate(run.model, preset, watched),
            len(data["image"]),
            arguments.eval_interval,
        )
        return {"loss": loss, "seconds": run.seconds}

    def warm_up(directory, seed):
        steps = preset.warmup_steps
        try:
            return train(directory, replace(preset, num_train_steps=steps), seed, {})
        except NonFiniteLossError as error:
            print(error, flush=True)
            return {"loss": None, "seconds": 0.0}

    directory = RunDirectory(arguments.model_dir)
    starts = choose_start(directory, seeds, warm_up)
    seed = starts[0]["seed"] if starts else arguments.seed
    train(directory, preset, seed, {"starts": starts})


def describe(run, arguments, entry):
    """The `config.json` of a run."""
    options = RunOptions(
        model_dir=arguments.model_dir,
        seed=arguments.seed,
        precision=arguments.precision,
        eval_interval=arguments.eval_interval,
    )
    started = datetime.datetime.now(datetime.timezone.utc)
    return {
        "task": entry.task,
        "model_name": entry.name,
        "preset": arguments.preset,
        "settings": dataclasses.asdict(run.preset),
        "options": dataclasses.asdict(options),
        "command": " ".join(
            ["python examples/train_on_jax.py"]
            + [f for f in sys.argv[1:] if not f.startswith(("--model_dir", "--scenes"))]
        ),
        "model": keras.saving.serialize_keras_object(run.model),
        "parameters": run.model.count_params(),
        "dataset": full_name(run.preset.dataset),
        "versions": {
            "slot_attention_tf": sa.__version__,
            "keras": keras.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "device": jax.devices()[0].device_kind,
        "seed": arguments.seed,
        "started": started.isoformat("T", "seconds"),
    }


if __name__ == "__main__":
    try:
        main()
    except NonFiniteLossError as error:
        sys.exit(str(error))
