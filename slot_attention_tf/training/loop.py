"""One training loop for every model, on any `tf.distribute` strategy."""

import contextlib
import dataclasses
import functools
import math
import shutil
import time

import keras
import tensorflow as tf

from slot_attention_tf.failures import NonFiniteLossError
from slot_attention_tf.training.callbacks import LoopCallbacks
from slot_attention_tf.training.checkpoints import (
    averaged_weights,
    non_finite,
    restore_newest,
    training_state,
)
from slot_attention_tf.training.devices import has_workers, is_chief
from slot_attention_tf.training.randomness import seed_states
from slot_attention_tf.training.reporting import Progress
from slot_attention_tf.training.signals import StopSignals

_MAX_CHECKPOINTS = 5
# What TensorFlow says of an operation that waits for a worker that is gone.
_ABORTED = "Collective ops is aborted by: "


class SaveError(RuntimeError):
    """A checkpoint could not be written."""


class WorkerLostError(RuntimeError):
    """Another worker of a run on several machines has ended."""


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
        eval_interval: Steps between two evaluations.
        jit_compile: Whether XLA compiles the step's forward and backward pass.
    """

    num_train_steps: int
    batch_size: int
    clip_norm: float | None = None
    log_interval: int = 100
    checkpoint_interval: int = 1000
    eval_interval: int = 1000
    jit_compile: bool = False


class Trainer:
    """Trains a model, logs, and keeps checkpoints to continue from.

    Build it inside `strategy.scope()` together with the model and the optimizer.

    Args:
        model: A built Keras model with `loss_per_example(batch)`.
        optimizer: A Keras optimizer without clipping of its own (see `clip_norm`).
        settings: A `LoopSettings`.
        run: A `RunDirectory`.
        strategy: A `tf.distribute.Strategy`.
    """

    def __init__(self, model, optimizer, settings, run, strategy):
        self.model = model
        self.optimizer = optimizer
        self.settings = settings
        self.run = run
        self.strategy = strategy
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        replicas = strategy.num_replicas_in_sync
        if settings.batch_size % replicas:
            raise ValueError(
                f"The global batch is divided among {replicas} replicas: --batch_size "
                f"must be a multiple. Received: batch_size={settings.batch_size}"
            )
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        optimizer.build(model.trainable_variables)
        self._decorrelate_replicas()

        folder = run.checkpoints
        self._own_folder = None
        if not is_chief(strategy):
            # Every worker takes part in saving, but one alone may write the run's.
            folder = folder / f"worker_{strategy.cluster_resolver.task_id}"
            self._own_folder = folder
        self._manager = tf.train.CheckpointManager(
            training_state(model, optimizer, self.step, self.seconds),
            str(folder),
            max_to_keep=_MAX_CHECKPOINTS,
        )
        # As Keras does, without AutoGraph: to rewrite all code takes seconds.
        function = functools.partial(tf.function, autograph=False)
        self._compute = function(
            self._loss_and_gradients, jit_compile=settings.jit_compile
        )
        self._train_step = function(self._distributed_step)
        self._count_flags = function(self._sum_over_replicas)

    def restore(self):
        """Continues from the last good checkpoint; returns the step (0: a new run)."""
        found = tf.train.get_checkpoint_state(str(self.run.checkpoints))
        paths = list(found.all_model_checkpoint_paths) if found else []
        if restore_newest(self._manager.checkpoint, paths) is not None:
            self._decorrelate_replicas()
        return int(self.step.numpy())

    def averaged(self):
        """A context in which the model has its averaged weights, if there are any."""
        return averaged_weights(self.model, self.optimizer)

    def train(self, make_dataset, on_evaluation, callbacks=None):
        """Trains up to `num_train_steps`, or until a signal or a callback stops it.

        Args:
            make_dataset: Function of `(start_batch, num_shards, shard_index)` that
                returns an endless `tf.data.Dataset`: of each global batch from
                `start_batch` on, every `num_shards`-th example.
            on_evaluation: Function of `(step, progress)`, called every
                `eval_interval` steps and at the end; returns a dictionary of values
                to log, or None.
            callbacks: Optional list of `keras.callbacks.Callback`; see `LoopCallbacks`.

        Returns:
            Whether the run reached its end, which a callback may have called early.
            False if SIGTERM or SIGINT stopped it.

        Raises:
            NonFiniteLossError: If a loss or a weight is NaN or infinite. The
                checkpoints before that step are kept.
            SaveError: If a checkpoint cannot be written.
            WorkerLostError: If another worker has ended before the run did.
        """
        settings = self.settings
        step = int(self.step.numpy())
        if self.run.writable:
            self.run.truncate_metrics(step)
        batches = self._distribute(make_dataset, step)
        self._start = time.monotonic() - float(self.seconds.numpy())
        self._losses = []
        observers = (callbacks, self.model, self.optimizer, settings, step)
        with (
            Progress(self.run, settings, first_step=step) as progress,
            LoopCallbacks(*observers) as observed,
            StopSignals() as stop,
            self._watch_workers(),
        ):
            stopped = False
            while step < settings.num_train_steps and not stopped:
                observed.step_begins()
                self._losses.append(self._train_step(next(batches)))
                step += 1
                stopped = self._after_step(
                    step, on_evaluation, progress, observed, stop
                )
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
        return step == settings.num_train_steps or observed.ask_to_stop

    @contextlib.contextmanager
    def _watch_workers(self):
        """Says in words that another worker is gone."""
        try:
            yield
        except tf.errors.OpError as error:
            resolver = self.strategy.cluster_resolver
            # Replicas of one process abort each other with the same words.
            if not has_workers(self.strategy) or not _tells_of_lost_worker(error):
                raise
            reason = str(error).rpartition(_ABORTED)[2].splitlines()[0]
            raise WorkerLostError(
                f"{resolver.task_type.capitalize()} {resolver.task_id} stops: another "
                "worker has ended, or cannot be reached. The same command on all "
                f"machines continues from the last checkpoint. Received: {reason}"
            ) from error

    def _after_step(self, step, on_evaluation, progress, observed, stop):
        """Logs, saves and evaluates when it is time; returns whether to stop."""
        settings = self.settings
        last = step == settings.num_train_steps
        stopped = self._should_stop(stop, observed, step)
        evaluates = last or step % settings.eval_interval == 0
        saves = last or stopped or step % settings.checkpoint_interval == 0
        row = {}
        if saves or evaluates or step % settings.log_interval == 0:
            row = self._log(progress, step)
        progress.advance()
        observed.step_ends(row)
        if saves:
            self._save(step)
        if evaluates:
            with progress.paused():
                scores = on_evaluation(step, progress)
                progress.log_values(step, scores)
                observed.evaluated(row, scores)
        if stopped or not self._should_stop(stop, observed, step):
            return stopped
        # A callback asks for it, or a signal came during the evaluation.
        self._log(progress, step)
        if not saves:
            self._save(step)
        return True

    def _log(self, progress, step):
        """Logs the mean of the losses since the last call; returns the row, or {}."""
        if not self._losses:
            return {}
        loss = self._mean_loss(self._losses, step)
        self._losses = []
        self.seconds.assign(time.monotonic() - self._start)
        return progress.log(step, loss, self._rate(), float(self.seconds.numpy()))

    def _distribute(self, make_dataset, step):
        """An iterator over global batches; each worker reads its own share."""

        def pipeline(context):
            dataset = make_dataset(
                step,
                num_shards=context.num_input_pipelines,
                shard_index=context.input_pipeline_id,
            )
            size = context.get_per_replica_batch_size(self.settings.batch_size)
            # Batches of a known size, as TPUs need them; the data are endless.
            return dataset.rebatch(size, drop_remainder=True)

        return iter(self.strategy.distribute_datasets_from_function(pipeline))

    def _distributed_step(self, batch):
        losses = self.strategy.run(self._replica_step, args=(batch,))
        self.step.assign_add(1)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_step(self, batch):
        loss, gradients = self._compute(batch)
        clip_norm = self.settings.clip_norm
        scales_loss = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        replicas = self.strategy.num_replicas_in_sync
        if replicas > 1 and (clip_norm is not None or scales_loss):
            # Keras would clip, and test for overflow, before it sums the replicas.
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            # apply_gradients sums over replicas once more.
            gradients = [gradient / replicas for gradient in gradients]
            if clip_norm is not None:
                clip_norm = clip_norm / replicas
        if clip_norm is not None:
            # Gradients of a scaled loss have a scaled norm.
            clip_norm = self.optimizer.scale_loss(tf.constant(clip_norm))
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def _loss_and_gradients(self, batch):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            losses = self.model.loss_per_example(batch)  # [b]
            loss = tf.reduce_sum(losses) / self.settings.batch_size
            if self.model.losses:  # Of regularizers: the same on every replica.
                extra = tf.add_n(
                    [tf.cast(each, loss.dtype) for each in self.model.losses]
                )
                loss += extra / self.strategy.num_replicas_in_sync
            scaled_loss = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(
            scaled_loss,
            variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    def _decorrelate_replicas(self):
        """Gives each replica random numbers of its own.

        Keras keeps one seed for all replicas, so each would draw the same slots. The
        first replica keeps its seed: alone, it trains as without a strategy.
        """
        if self.strategy.num_replicas_in_sync == 1:
            return

        @tf.function(autograph=False)
        def shift():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in seed_states(self.model):
                offset = tf.stack([replica, 0])
                state.assign(state + tf.cast(offset, state.dtype))

        self.strategy.run(shift)

    def _should_stop(self, stop, observed, step):
        """Whether a signal or a callback asks for the end; all workers must agree."""
        asked = stop.received is not None or observed.ask_to_stop
        if not has_workers(self.strategy):
            return asked
        if step % self.settings.log_interval:
            return False
        return bool(self._count_flags(tf.constant(asked)) > 0)

    def _sum_over_replicas(self, flag):
        """How many replicas have a flag that is set."""
        flags = self.strategy.run(lambda: tf.cast(flag, tf.float32))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, flags, axis=None)

    def _save(self, step):
        bad = non_finite(self.model)
        if bad:
            raise NonFiniteLossError(
                f"{len(bad)} weights are NaN or infinite after step {step}, among them "
                f"{bad[0]}. {self._advice()}"
            )
        try:
            self._manager.save(checkpoint_number=step)
            self.run.publish()
        except (OSError, tf.errors.OpError) as error:
            if _tells_of_lost_worker(error):
                raise  # No matter of the disk.
            free = shutil.disk_usage(self.run.path).free / 2**20
            raise SaveError(
                f"The checkpoint of step {step} cannot be written to "
                f"{self.run}/{self.run.checkpoints.name} ({free:.0f} MiB are free on "
                "the disk). Older checkpoints are intact; the same command continues "
                "from them. "
                f"Received: {str(error).splitlines()[0]}"
            ) from error

    def _mean_loss(self, losses, step):
        values = [float(loss) for loss in losses]
        for position, value in enumerate(values):
            if not math.isfinite(value):
                bad_step = step - len(values) + position + 1
                raise NonFiniteLossError(
                    f"The loss is {value} at step {bad_step}. {self._advice()}"
                )
        return sum(values) / len(values)

    def _advice(self):
        kept = self._manager.latest_checkpoint
        return (
            "Training stopped; the last good checkpoint is kept: "
            f"{kept or 'none was saved yet'}. Continue from it with a lower "
            "--learning_rate or a longer --warmup_steps."
        )

    def _rate(self):
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))


def _tells_of_lost_worker(error):
    return isinstance(error, tf.errors.OpError) and _ABORTED in str(error)
