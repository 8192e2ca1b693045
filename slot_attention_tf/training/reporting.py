"""What a run shows while it trains: progress, metrics.jsonl, TensorBoard."""

import contextlib
import sys
import time

import tensorflow as tf
from tqdm import tqdm


class Progress(contextlib.AbstractContextManager):
    """Reports a run to its `RunDirectory`, and to people.

    On a terminal it draws a bar; elsewhere, as in the log of a cluster, it prints a
    line for each logged row.

    Args:
        run: A `RunDirectory`.
        settings: A `LoopSettings`.
        first_step: The step that this process starts from.
    """

    def __init__(self, run, settings, first_step):
        self._run = run
        self._settings = settings
        self._step = first_step
        self._first_step = first_step
        self._start = self._last = time.monotonic()
        self._paused = 0.0
        self._bar = None
        if run.writable and sys.stdout.isatty():
            self._bar = tqdm(
                total=settings.num_train_steps,
                initial=first_step,
                unit="step",
                file=sys.stdout,
                dynamic_ncols=True,
            )
        self._writer = (
            tf.summary.create_file_writer(str(run.tensorboard))
            if run.writable
            else tf.summary.create_noop_writer()
        )

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()
        self._writer.close()

    def advance(self):
        """Moves the bar on by one training step."""
        if self._bar is not None:
            self._bar.update()

    def log(self, step, loss, learning_rate, seconds):
        """Logs the mean loss since the last call, and the time of the whole run.

        Returns:
            Dictionary of the values that were logged.
        """
        now = time.monotonic()
        images = (step - self._step) * self._settings.batch_size
        rate = images / max(now - self._last, 1e-9)
        self._step, self._last = step, now
        values = {
            "loss": loss,
            "learning_rate": learning_rate,
            "images_per_s": rate,
            "seconds": round(seconds, 1),
        }
        self.log_values(step, values)
        if self._run.writable:
            self._show(step, loss, rate, now)
        return values

    def log_values(self, step, values):
        """Logs a dictionary of floats, or None for nothing."""
        if not values:
            return
        self._run.append_metrics({"step": step, **values})
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)
        self._writer.flush()

    def image(self, name, image, step):
        """Shows a uint8 image `[H, W, 3]` in TensorBoard."""
        with self._writer.as_default():
            tf.summary.image(name, image[None], step=step)

    @contextlib.contextmanager
    def paused(self):
        """Time spent inside does not count as training time."""
        start = time.monotonic()
        yield
        spent = time.monotonic() - start
        self._paused += spent
        self._last += spent
        if self._bar is not None:
            self._bar.unpause()

    def _show(self, step, loss, rate, now):
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.5f}, {rate:.0f} images/s")
            return
        total = self._settings.num_train_steps
        done = max(step - self._first_step, 1)
        left = (now - self._start - self._paused) / done * (total - step)
        print(
            f"Step {step}/{total}  loss {loss:.5f}  {rate:.0f} images/s  "
            f"{_clock(left)} left",
            flush=True,
        )


def _clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
