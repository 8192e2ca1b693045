"""Keras callbacks in the training loop: they hear what `fit` would tell them."""

import contextlib
import math
import re

import keras


class LoopCallbacks(contextlib.AbstractContextManager):
    """Calls Keras callbacks in the course of a run; does nothing if there are none.

    An epoch lasts from one evaluation to the next. Its logs are the last logged row
    and the scores, `val_...`. The logs of a batch hold the loss at logged steps only:
    to read every loss would make the host wait for the device at every step.

    Args:
        callbacks: List of `keras.callbacks.Callback`, or None.
        model: The model that is trained.
        optimizer: Its optimizer, which callbacks find as `model.optimizer`.
        settings: A `LoopSettings`.
        first_step: Integer, the step that this process starts from.
    """

    def __init__(self, callbacks, model, optimizer, settings, first_step):
        self._model = model
        self._optimizer = optimizer
        self._interval = settings.eval_interval
        self._step = first_step
        self._list = None
        if callbacks:
            self._list = keras.callbacks.CallbackList(
                callbacks,
                model=model,
                epochs=math.ceil(settings.num_train_steps / self._interval),
                steps=self._interval,
                verbose=0,
            )

    @property
    def ask_to_stop(self):
        """Whether a callback has set `model.stop_training`."""
        return self._list is not None and self._model.stop_training

    def __enter__(self):
        if self._list is not None:
            self._model.stop_training = False
            self._model.optimizer = self._optimizer
            self._list.on_train_begin()
            self._in_epoch = False
        return self

    def __exit__(self, kind, *exception):
        if self._list is not None:
            if kind is None:
                self._list.on_train_end()
            # Not compiled: the model is saved without its optimizer.
            del self._model.optimizer

    def step_begins(self):
        """Before each training step."""
        if self._list is None:
            return
        epoch, batch = divmod(self._step, self._interval)
        if not self._in_epoch:
            self._list.on_epoch_begin(epoch)
            self._in_epoch = True
        self._list.on_train_batch_begin(batch)

    def step_ends(self, logs):
        """After each training step, with what was logged at it."""
        if self._list is not None:
            self._list.on_train_batch_end(self._step % self._interval, logs)
            self._step += 1

    def evaluated(self, logs, scores):
        """After each evaluation, with what was logged at its step, and the scores."""
        if self._list is not None:
            epoch = (self._step - 1) // self._interval
            self._list.on_epoch_end(epoch, {**logs, **validation_logs(scores)})
            self._in_epoch = False


def validation_logs(scores):
    """Scores as callbacks of Keras know them: `{"val_fg_ari": 0.97}`.

    Args:
        scores: Dictionary from name to value, or None. Values that are not floats are
            left out.

    Returns:
        Dictionary. Its names can stand in the file name of a `ModelCheckpoint`:
        `AP@0.5` becomes `val_ap_0_5`.
    """
    return {
        "val_" + re.sub(r"\W", "_", name).lower(): value
        for name, value in (scores or {}).items()
        if isinstance(value, float)
    }
