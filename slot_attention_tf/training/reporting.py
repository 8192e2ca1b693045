"""What a run shows while it trains: a progress line, metrics.jsonl, TensorBoard."""

import contextlib
import sys
import time

import tensorflow as tf


class Progress(contextlib.AbstractContextManager):
    """Reports a run to the terminal and to its `RunDirectory`.

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
        self._live = sys.stdout.isatty()
        self._writer = (
            tf.summary.create_file_writer(str(run.tensorboard))
            if run.writable
            else tf.summary.create_noop_writer()
        )

    def __exit__(self, *exception):
        if self._live:
            print()
        self._writer.close()

    def log(self, step, loss, learning_rate, seconds):
        """Logs the mean loss since the last call, and the time of the whole run."""
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

    def _show(self, step, loss, rate, now):
        total = self._settings.num_train_steps
        done = max(step - self._first_step, 1)
        left = (now - self._start - self._paused) / done * (total - step)
        filled = 20 * step // total
        line = (
            f"[{'=' * filled}{'.' * (20 - filled)}] {step}/{total}  loss {loss:.5f}  "
            f"{rate:.0f} images/s  {_clock(left)} left"
        )
        print(
            f"\r{line}" if self._live else line,
            end="" if self._live else "\n",
            flush=True,
        )


def _clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
