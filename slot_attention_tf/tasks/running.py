"""A training run from settings to its evaluation, for every task and model."""

import dataclasses
import functools

import keras
import tensorflow as tf

from slot_attention_tf.failures import NonFiniteLossError
from slot_attention_tf.models import find_model
from slot_attention_tf.models.registry import ModelEntry
from slot_attention_tf.presets import Preset
from slot_attention_tf.settings import replace
from slot_attention_tf.tasks.evaluation import evaluate, held_out_loss
from slot_attention_tf.tasks.runs import run_config
from slot_attention_tf.tasks.task import Task
from slot_attention_tf.training.devices import has_workers, is_chief, prepare_process
from slot_attention_tf.training.loop import LoopSettings, Trainer
from slot_attention_tf.training.optimizer import make_optimizer
from slot_attention_tf.training.options import RunOptions
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.starts import choose_start, seeds_of_starts
from slot_attention_tf.visualization import figure_to_image

_NUM_PICTURES = 8
# The share of a run after which masks that follow the place count as a failure.
_PATIENCE = 0.3


class FailedStartError(RuntimeError):
    """A run shows signs that it will not learn."""


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What all starts of a run share."""

    task: Task
    entry: ModelEntry
    preset_name: str
    preset: Preset
    options: RunOptions
    given: dict
    callbacks: list | None
    strategy: tf.distribute.Strategy
    run: RunDirectory
    watched: tf.data.Dataset
    first: dict  # The first batch of `watched`.

    def seeds_after(self, failures):
        return seeds_of_starts(self.preset, self.options.seed, len(failures))


def run_task(task, model_name, preset_name, given, callbacks=None):
    """Trains, or continues, a run and evaluates it; see `slot_attention_tf.train`."""
    policy = keras.config.dtype_policy()
    try:
        plan = _make_plan(task, model_name, preset_name, given, callbacks)
        return _start_until_it_works(plan)
    finally:  # The precision of the run is not that of what follows.
        keras.config.set_dtype_policy(policy)


def _make_plan(task, model_name, preset_name, given, callbacks):
    """Checks what a caller gave, and prepares the process and the data."""
    entry = find_model(task.name, model_name)
    preset_name = preset_name or task.default_preset
    preset, options = resolve(task, entry, preset_name, given)
    task.check(preset)
    seeds = seeds_of_starts(preset, options.seed)
    strategy = prepare_process(options)  # Before anything else runs on TensorFlow.
    if has_workers(strategy) and (options.restarts or len(seeds) > 1):
        raise ValueError(
            "Several machines cannot try several starts of a run together: give "
            "--num_starts=1, and leave out --restarts. Received: "
            f"num_starts={preset.num_starts}, restarts={options.restarts}"
        )
    watched = task.open_dataset(preset, task.watched_split, options.data_dir)
    watched = watched.take(-(-task.num_watched_scenes // preset.batch_size))
    first = next(iter(watched))
    task.check_batch(preset, first)
    return _Plan(
        task=task,
        entry=entry,
        preset_name=preset_name,
        preset=preset,
        options=options,
        given=given,
        callbacks=callbacks,
        strategy=strategy,
        run=RunDirectory(options.model_dir, writable=is_chief(strategy)),
        watched=watched,
        first=first,
    )


def _start_until_it_works(plan):
    """Starts again after a failure, as often as `--restarts` says."""
    while True:
        failures = plan.run.read_attempts()
        try:
            return _start(plan, failures)
        except (FailedStartError, NonFiniteLossError) as error:
            if len(failures) >= plan.options.restarts:
                raise
            starts = (plan.run.read_config() or {}).get("starts")
            seed = starts[0]["seed"] if starts else plan.seeds_after(failures)[0]
            plan.run.set_aside({"seed": seed, "reason": str(error)})
            plan.run.publish()
            print(
                f"The start with seed {seed} failed: {error}\n"
                f"It is kept in {plan.run}/attempts/{len(failures)}.",
                flush=True,
            )


def _start(plan, failures):
    """Begins, or continues, the start of a run that follows these failures."""
    seeds = plan.seeds_after(failures)
    starts = choose_start(plan.run, seeds, functools.partial(_warm_up, plan))
    if starts is None:
        return None
    seed = starts[0]["seed"] if starts else seeds[0]
    more = {"starts": starts, "attempts": failures}
    trainer = _open(plan, plan.run, plan.preset, seed, more)
    if starts and int(trainer.step.numpy()) == plan.preset.warmup_steps:
        trainer.seconds.assign(sum(each["seconds"] for each in starts))
    plan.run.publish()  # As in `_warm_up`.
    may_fail = len(failures) < plan.options.restarts
    return _train_and_evaluate(
        plan,
        trainer,
        functools.partial(_training_batches, plan, seed),
        functools.partial(_on_evaluation, plan, trainer, may_fail),
    )


def _open(plan, run, preset, seed, more):
    """Builds model and `Trainer` and restores what is in the folder of the run."""
    keras.utils.set_random_seed(seed)
    with plan.strategy.scope():
        model = plan.entry.model_class(**preset.model_arguments(), seed=seed)
        trainer = make_trainer(preset, plan.options, model, run, plan.strategy)
    model.check_training(plan.first["image"])
    # Before anything is written: another architecture than the run's is an error.
    step = trainer.restore()
    identity = (plan.task, plan.entry, plan.preset_name, preset, plan.options)
    config = run_config(*identity, model, plan.given)
    run.open_run({**config, **more}, finished=step >= preset.num_train_steps)
    return trainer


def _warm_up(plan, run, seed):
    """Trains a start to the end of the warm-up; see `choose_start`."""
    preset = replace(plan.preset, num_train_steps=plan.preset.warmup_steps)
    trainer = _open(plan, run, preset, seed, {})
    plan.run.publish()  # A bucket that cannot be written is an error before training.
    batches = functools.partial(_training_batches, plan, seed)
    loss = None
    try:
        if not trainer.train(batches, on_evaluation=lambda step, progress: None):
            print("Stopped. The same command continues.")
            return None
        loss = held_out_loss(trainer.model, plan.watched)
    except NonFiniteLossError as error:
        print(f"It diverged: {error}", flush=True)
    return {"loss": loss, "seconds": float(trainer.seconds.numpy())}


def _train_and_evaluate(plan, trainer, batches, on_evaluation):
    """Trains to the end, saves and scores; returns the scores, if there are any."""
    run, model, preset = plan.run, trainer.model, plan.preset
    step = int(trainer.step.numpy())
    if step < preset.num_train_steps:
        print(f"Training {run} from step {step}.", flush=True)
        callbacks = plan.callbacks if run.writable else None
        finished = trainer.train(batches, on_evaluation, callbacks)
        if not finished:
            run.publish()  # What was logged since the last checkpoint.
            step = trainer.step.numpy()
            print(f"Stopped at step {step}. The same command continues.")
            return None
    else:
        print(
            f"{run} is finished: it holds step {step}. To train further, ask for "
            f"more than --num_train_steps={preset.num_train_steps}."
        )
    if not run.writable:
        return None
    with trainer.averaged():
        if step < preset.num_train_steps or not run.model_file.exists():
            model.save(run.model_file)
        step = int(trainer.step.numpy())
        scores = evaluate(plan.task, run, model, preset, step, plan.options)
    run.publish()
    print(f"Pictures: {run}/{run.pictures.name}")
    return scores


def resolve(task, entry, preset_name, given):
    """Splits what a caller gave into a preset and options, both complete and checked.

    Args:
        task: The `Task`.
        entry: The `ModelEntry`.
        preset_name: String, a preset of the model.
        given: Dictionary of settings and options by name.

    Returns:
        Tuple `(preset, options)`.
    """
    if preset_name not in entry.presets:
        raise ValueError(
            f"The presets of {entry.name} are {', '.join(entry.presets)}. "
            f"Received: preset={preset_name!r}"
        )
    preset = entry.presets[preset_name]
    option_names = {field.name for field in dataclasses.fields(RunOptions)}
    chosen = {name: value for name, value in given.items() if name in option_names}
    defaults = RunOptions(model_dir=task.default_model_dir)
    settings = {name: value for name, value in given.items() if name not in chosen}
    names = {field.name for field in dataclasses.fields(preset)}
    if unknown := {name: settings[name] for name in settings.keys() - names}:
        raise ValueError(
            f"A run of {entry.name} takes {', '.join(sorted(names | option_names))}. "
            f"Received: {', '.join(f'{name}={v!r}' for name, v in unknown.items())}"
        )
    return (
        replace(preset, **settings),
        replace(defaults, **chosen),
    )


def make_trainer(preset, options, model, run, strategy):
    """Builds the `Trainer` of a run; call it in the strategy's scope."""
    optimizer = make_optimizer(preset)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    settings = LoopSettings(
        num_train_steps=preset.num_train_steps,
        batch_size=preset.batch_size,
        clip_norm=preset.clip_norm,
        log_interval=options.log_interval,
        checkpoint_interval=options.checkpoint_interval,
        eval_interval=options.eval_interval,
        jit_compile=options.jit_compile,
    )
    return Trainer(model, optimizer, settings, run, strategy)


def _training_batches(plan, seed, start_batch, num_shards, shard_index):
    return plan.task.open_dataset(
        plan.preset,
        plan.task.train_split,
        plan.options.data_dir,
        shuffle=True,
        repeat=True,
        seed=seed,
        start_batch=start_batch,
        num_shards=num_shards,
        shard_index=shard_index,
        **plan.task.training_options,
    )


def _on_evaluation(plan, trainer, may_fail, step, progress):
    """Scores the model on scenes held out of training, and draws a few."""
    task, run = plan.task, plan.run
    if not run.writable:
        return None
    pictured = {key: value[:_NUM_PICTURES] for key, value in plan.first.items()}
    with trainer.averaged():
        scores = task.evaluate(trainer.model, plan.watched)
        figures = task.figures(trainer.model, pictured)
    for name, figure in figures.items():
        run.save_figure(f"{name}_{step:07}.png", figure)
        progress.image(name, figure_to_image(figure), step)
    signs = task.signs_of_failure(scores, [])
    if signs and may_fail and step >= _PATIENCE * plan.preset.num_train_steps:
        raise FailedStartError(f"At step {step}: {' '.join(signs)}")
    return {name: value for name, value in scores.items() if isinstance(value, float)}
