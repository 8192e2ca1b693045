"""One training loop for every model, on any `tf.distribute` strategy."""

import dataclasses
import math

import keras
import tensorflow as tf

from slot_attention_tf.training.checkpoints import training_state
from slot_attention_tf.training.environment import is_chief
from slot_attention_tf.training.progress import Progress
from slot_attention_tf.training.randomness import seed_states
from slot_attention_tf.training.schedule import WarmupExponentialDecay


class NonFiniteLossError(RuntimeError):
    """Training met a loss that is NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """What the loop itself needs to know.

    Attributes:
        num_train_steps: Steps in all, counted from the start of the run.
        batch_size: Global batch size, divided among the replicas.
        clip_norm: Global norm that gradients are clipped to, or None. Applied to the
            sum of all replicas, so that it does not depend on their number.
        log_interval: Steps between two logged rows.
        checkpoint_interval: Steps between two checkpoints.
        jit_compile: Whether XLA compiles the step's forward and backward pass.
    """

    num_train_steps: int
    batch_size: int
    clip_norm: float | None = None
    log_interval: int = 100
    checkpoint_interval: int = 1000
    jit_compile: bool = False


def make_optimizer(learning_rate, warmup_steps, decay_rate, decay_steps):
    """Adam with the paper's schedule; scales the loss under float16 policies."""
    schedule = WarmupExponentialDecay(
        learning_rate, warmup_steps, decay_rate, decay_steps
    )
    optimizer = keras.optimizers.Adam(schedule, epsilon=1e-8)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class Trainer:
    """Trains a model, logs, and keeps checkpoints to continue from.

    Build it inside `strategy.scope()` together with the model and the optimizer.

    Args:
        model: A built Keras model.
        optimizer: A Keras optimizer without clipping of its own (see `clip_norm`).
        loss_fn: Function from `(model, batch)` to the losses `[b]` of the examples.
        settings: A `LoopSettings`.
        run: A `RunDirectory`.
        strategy: A `tf.distribute.Strategy`.
    """

    def __init__(self, model, optimizer, loss_fn, settings, run, strategy):
        self.model = model
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.settings = settings
        self.run = run
        self.strategy = strategy
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        optimizer.build(model.trainable_variables)
        self._decorrelate_replicas()

        checkpoint = training_state(model, optimizer, self.step)
        folder = run.checkpoints
        if not is_chief(strategy):
            # Every worker takes part in saving, but one alone may write the run's.
            folder = folder / f"worker_{strategy.cluster_resolver.task_id}"
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(folder), max_to_keep=5
        )
        self._compute = tf.function(
            self._loss_and_gradients, jit_compile=settings.jit_compile
        )
        self._train_step = tf.function(self._distributed_step)

    def restore(self):
        """Continues from the last checkpoint; returns the step (0: a fresh run)."""
        latest = tf.train.latest_checkpoint(str(self.run.checkpoints))
        if latest is not None:
            self._manager.checkpoint.restore(latest).assert_consumed()
            self._decorrelate_replicas()
        return int(self.step.numpy())

    def train(self, make_dataset, on_checkpoint):
        """Trains up to `num_train_steps`.

        Args:
            make_dataset: Function from a number of batches to skip to an endless
                `tf.data.Dataset` of global batches.
            on_checkpoint: Function of `(step, progress)`, called after each
                checkpoint; returns a dictionary of values to log, or None.

        Raises:
            NonFiniteLossError: If a loss is NaN or infinite. The checkpoints before
                that step are kept.
        """
        settings = self.settings
        step = int(self.step.numpy())
        if self.run.writable:
            self.run.truncate_metrics(step)
        dataset = self.strategy.experimental_distribute_dataset(make_dataset(step))
        batches = iter(dataset)
        with Progress(self.run, settings, first_step=step) as progress:
            losses = []
            while step < settings.num_train_steps:
                losses.append(self._train_step(next(batches)))
                step += 1
                last = step == settings.num_train_steps
                save = last or step % settings.checkpoint_interval == 0
                if save or step % settings.log_interval == 0:
                    progress.log(step, self._mean_loss(losses, step), self._rate())
                    losses = []
                if save:
                    self._manager.save(checkpoint_number=step)
                    with progress.paused():
                        progress.log_values(step, on_checkpoint(step, progress))

    def _distributed_step(self, batch):
        losses = self.strategy.run(self._replica_step, args=(batch,))
        self.step.assign_add(1)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, batch):
        variables = self.model.trainable_variables
        loss, gradients = self._compute(batch)
        replicas = self.strategy.num_replicas_in_sync
        if replicas > 1:
            # Keras would clip, and test for overflow, before it sums the replicas.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self.settings.clip_norm is not None:
            scale = getattr(self.optimizer, "dynamic_scale", 1.0)
            gradients, _ = tf.clip_by_global_norm(
                gradients, self.settings.clip_norm * scale
            )
        # apply_gradients sums over replicas once more.
        gradients = [gradient / replicas for gradient in gradients]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _loss_and_gradients(self, batch):
        with tf.GradientTape() as tape:
            losses = self.loss_fn(self.model, batch)  # [b]
            loss = tf.reduce_sum(losses) / self.settings.batch_size
            scaled_loss = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled_loss, self.model.trainable_variables)

    def _decorrelate_replicas(self):
        """Gives each replica random numbers of its own.

        Keras keeps one seed for all replicas, so each would draw the same slots. The
        first replica keeps its seed: alone, it trains as without a strategy.
        """
        if self.strategy.num_replicas_in_sync == 1:
            return

        @tf.function
        def shift():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in seed_states(self.model):
                state = state.value
                offset = tf.stack([replica, 0])
                state.assign(state + tf.cast(offset, state.dtype))

        self.strategy.run(shift)

    def _mean_loss(self, losses, step):
        values = [float(loss) for loss in losses]
        for position, value in enumerate(values):
            if not math.isfinite(value):
                bad_step = step - len(values) + position + 1
                kept = self._manager.latest_checkpoint
                raise NonFiniteLossError(
                    f"The loss is {value} at step {bad_step}. Training stopped; the "
                    f"last good checkpoint is kept: {kept or 'none was saved yet'}. "
                    "Continue from it with a lower --learning_rate or a longer "
                    "--warmup_steps."
                )
        return sum(values) / len(values)

    def _rate(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
