"""What both training scripts share: flags, a preset behind them, the run itself."""

import dataclasses

import keras
from absl import flags

from slot_attention_tf.training.environment import (
    STRATEGIES,
    is_chief,
    make_strategy,
)
from slot_attention_tf.training.loop import LoopSettings, Trainer, make_optimizer
from slot_attention_tf.training.run_directory import RunDirectory

# Flags of the reference release; a flag that is not given takes the preset's value.
_PRESET_FLAGS = {
    "batch_size": (flags.DEFINE_integer, "Global batch size."),
    "num_slots": (flags.DEFINE_integer, "Number of slots K."),
    "num_iterations": (flags.DEFINE_integer, "Iterations of attention T."),
    "learning_rate": (flags.DEFINE_float, "Learning rate before decay."),
    "num_train_steps": (flags.DEFINE_integer, "Training steps in all."),
    "warmup_steps": (flags.DEFINE_integer, "Steps of linear warm-up."),
    "decay_rate": (flags.DEFINE_float, "Factor of the exponential decay."),
    "decay_steps": (flags.DEFINE_integer, "Steps that decay by that factor."),
    "dataset": (flags.DEFINE_string, "Dataset as <name>/<config>."),
}


def define_flags(presets, default_preset, default_model_dir):
    """Defines the flags of a training script.

    Args:
        presets: Dictionary of the script's presets by name.
        default_preset: Name of the preset with the reference release's defaults.
        default_model_dir: Where a run goes unless `--model_dir` says otherwise.
    """
    flags.DEFINE_string("model_dir", default_model_dir, "Folder of the run.")
    flags.DEFINE_integer("seed", 0, "Seed of weights, slots and data order.")
    defaults = dataclasses.asdict(presets[default_preset])
    for name, (define, text) in _PRESET_FLAGS.items():
        define(
            name,
            None,
            f"{text} Default: the preset's ({default_preset}: {defaults[name]}).",
        )
    flags.DEFINE_enum(
        "preset", default_preset, sorted(presets), "Settings that flags replace."
    )
    flags.DEFINE_string("data_dir", None, "Folder of all datasets. Default: TFDS's.")
    flags.DEFINE_bool("mixed_precision", False, "Train in float16 with loss scaling.")
    flags.DEFINE_bool("jit_compile", False, "Compile the training step by XLA.")
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "Devices: auto is all visible GPUs if there are several, else one device.",
    )
    flags.DEFINE_integer("log_interval", 100, "Steps between two logged rows.")
    flags.DEFINE_integer("checkpoint_interval", 1000, "Steps between two checkpoints.")
    flags.DEFINE_bool("deterministic", False, "Same bits in every run, at some speed.")


def resolve_preset(values, presets):
    """Returns the preset of a run with what its flags replace."""
    preset = presets[values.preset]
    given = {name: getattr(values, name) for name in _PRESET_FLAGS}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        # A warm-up of no steps is one way to train; of everything else there is some.
        smallest = 0 if name == "warmup_steps" else 1
        if isinstance(value, int) and value < smallest:
            raise ValueError(
                f"--{name} must be at least {smallest}. Received: --{name}={value}"
            )
    return dataclasses.replace(preset, **given)


def prepare_process(values):
    """Applies the flags that concern the whole process."""
    keras.utils.set_random_seed(values.seed)
    if values.mixed_precision:
        keras.config.set_dtype_policy("mixed_float16")
    if values.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def make_trainer(preset, values, model_class, loss_fn):
    """Builds the model of a run and its trainer, on the devices of `--strategy`.

    Args:
        preset: The run's preset, from `resolve_preset`.
        values: The parsed flags of `define_flags`.
        model_class: The Keras model class that the preset describes.
        loss_fn: Function from `(model, batch)` to the losses `[b]` of the examples.

    Returns:
        A `Trainer`.
    """
    strategy = make_strategy(values.strategy)
    run = RunDirectory(values.model_dir, writable=is_chief(strategy))
    settings = LoopSettings(
        num_train_steps=preset.num_train_steps,
        batch_size=preset.batch_size,
        clip_norm=preset.clip_norm,
        log_interval=values.log_interval,
        checkpoint_interval=values.checkpoint_interval,
        jit_compile=values.jit_compile,
    )
    with strategy.scope():
        model = model_class(**preset.model_arguments(), seed=values.seed)
        optimizer = make_optimizer(
            preset.learning_rate,
            preset.warmup_steps,
            preset.decay_rate,
            preset.decay_steps,
        )
        run.open_run(
            {
                "preset": values.preset,
                "settings": dataclasses.asdict(preset),
                "seed": values.seed,
                "mixed_precision": values.mixed_precision,
                "model": model.get_config(),
            }
        )
        return Trainer(model, optimizer, loss_fn, settings, run, strategy)


def train_to_the_end(trainer, train):
    """Trains what is left of a run, if anything, and saves its model.

    Args:
        trainer: The run's `Trainer`.
        train: Function that trains it, from the step it stands at.
    """
    run, num_train_steps = trainer.run, trainer.settings.num_train_steps
    step = trainer.restore()
    if step >= num_train_steps:
        print(
            f"{run.path} is finished: it holds step {step}. To train further, ask for "
            f"more than --num_train_steps={num_train_steps}."
        )
        return
    print(f"Training {run.path} from step {step}.", flush=True)
    train()
    if run.writable:
        trainer.model.save(run.model_file)
