"""The score of a model on held-out data, as a row of its run."""

import time

import tensorflow as tf

from slot_attention_tf.tasks.runs import sibling_scores
from slot_attention_tf.tasks.set_prediction import with_exactly
from slot_attention_tf.training.randomness import fixed_randomness


def evaluate(
    task,
    run,
    model,
    preset,
    step,
    options,
    split=None,
    dataset=None,
    num_objects=None,
    eval_seed=0,
    record=True,
    label="",
    **call_options,
):
    """Scores a model on held-out data, prints the scores and keeps the row.

    Args:
        task: The `Task`.
        run: The `RunDirectory` that gets the row.
        model: The model.
        preset: A `Preset`, which says what data.
        step: Integer, the step that the model stands at, or None.
        options: `RunOptions`, which says where the data are.
        split: String, another split than the task's.
        dataset: The scenes of that split, if they are open already. Default: as many
            as the task says.
        num_objects: Integer, to take only scenes of exactly so many objects.
        eval_seed: Integer, the seed of the random starts.
        record: Whether to keep the row.
        label: String to print before the scores.
        **call_options: Such as `num_slots`.

    Returns:
        The row, a dictionary.
    """
    split = split or task.test_split
    if dataset is None:
        dataset = task.open_dataset(
            preset, split, options.data_dir, num_scenes=task.num_test_scenes
        )
    if num_objects is not None:
        dataset = with_exactly(dataset, num_objects, preset.batch_size)
    start = time.monotonic()
    scores = task.evaluate(model, dataset, eval_seed, **call_options)
    row = {
        "step": step,
        "dataset": preset.dataset,
        "split": split,
        "max_num_objects": preset.max_num_objects,
        "num_objects": num_objects,
        "seed": eval_seed,
        "num_slots": call_options.get("num_slots") or model.num_slots,
        "num_iterations": call_options.get("num_iterations")
        or getattr(model, "num_iterations", None),
        **scores,
        "seconds": round(time.monotonic() - start, 1),
    }
    print(f"{label}{task.summary(scores)}", flush=True)
    if record:
        run.append_evaluation(row)
        if row == run.read_final_evaluation():
            for sign in task.signs_of_failure(scores, sibling_scores(run)):
                print(f"FAILED RUN? {sign}")
    return row


def held_out_loss(model, dataset):
    """The mean training loss of a model over the images of a dataset.

    Args:
        model: A model with `loss_per_example`.
        dataset: Finite dataset of batches. The random numbers are the same each time.
    """
    with fixed_randomness(model):
        losses = [model.loss_per_example(batch) for batch in dataset]
    return float(tf.reduce_mean(tf.concat(losses, axis=0)))
