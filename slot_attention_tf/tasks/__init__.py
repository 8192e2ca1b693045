"""The tasks of the paper: what a run trains on, how it is scored, what it shows.

A new task is one file here, a subclass of `Task` in `TASKS`. Tasks know no model by
name: the registry in `slot_attention_tf.models` does.
"""

from slot_attention_tf.models.registry import task_name_of
from slot_attention_tf.tasks.discovery import Discovery
from slot_attention_tf.tasks.set_prediction import SetPrediction
from slot_attention_tf.tasks.task import Task
from slot_attention_tf.tasks.validation_scores import ValidationScores

TASKS = {task.name: task for task in (Discovery(), SetPrediction())}


def find_task(name):
    """Returns the `Task` of a name.

    Raises:
        ValueError: If there is no such task.
    """
    if name not in TASKS:
        raise ValueError(f"The tasks are {', '.join(TASKS)}. Received: task={name!r}")
    return TASKS[name]


def task_of(model):
    """Returns the `Task` that a model is trained on; see `task_name_of`."""
    return find_task(task_name_of(model))


def train(task, model="slot_attention", preset=None, callbacks=None, **settings):
    """Trains a model and evaluates it, or continues a run: what the scripts do.

    Args:
        task: String, `"discovery"` or `"set_prediction"`.
        model: String, the name of a model, such as `"slot_attention"` or `"slot_mlp"`.
        preset: String, the name of one of the model's presets. Default: the paper's
            largest, as in the reference release.
        callbacks: Optional list of `keras.callbacks.Callback` that watch the run, such
            as those of W&B and MLflow, and may stop it by `model.stop_training`. An
            epoch lasts `eval_interval` steps; its logs are `loss`, `learning_rate`
            and the scores on held-out training data, such as `val_fg_ari`. The logs of
            a batch are empty but every `log_interval` steps. What a callback does to
            the weights is not in the checkpoints.
        **settings: Options of the run (`model_dir`, `seed`, ...; see `RunOptions`) and
            settings that replace those of the preset (`num_train_steps`, ...).

    Returns:
        The evaluation of the trained model on held-out data, a dictionary of scores.
        None in a worker that is not chief, and if a signal stopped the run.

    Raises:
        ValueError: If a name or a value is unknown or out of range, or the folder holds
            another run.
        FileNotFoundError: If the dataset is not there; says the command that makes it.
        NonFiniteLossError: If training diverges.

    Example:

    ```python
    import slot_attention_tf as sa

    sa.train("discovery", preset="tetrominoes_cpu", model_dir="runs/discovery")
    ```
    """
    from slot_attention_tf.tasks.running import run_task

    return run_task(find_task(task), model, preset, settings, callbacks)


__all__ = ["TASKS", "Task", "ValidationScores", "find_task", "task_of", "train"]
