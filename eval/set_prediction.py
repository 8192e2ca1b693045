"""Evaluates a run of set prediction and draws what each slot saw and said.

    python eval/set_prediction.py --model_dir=runs/set_prediction --full_eval

Prints average precision on the validation split: of the run as it was trained, with
other numbers of iterations, and on the scenes with exactly N objects with N slots
(Figure 5 of the paper). Writes pictures into `<model_dir>/pictures`: the input, the
attention of each slot, and predicted and true properties; and the training curves.
"""

import dataclasses
import sys

from absl import app, flags

from slot_attention_tf.training.environment import prepare_environment

prepare_environment()

from slot_attention_tf.data.clevr import MAX_NUM_OBJECTS  # noqa: E402
from slot_attention_tf.models.classifier import SlotAttentionClassifier  # noqa: E402
from slot_attention_tf.set_prediction_presets import (  # noqa: E402
    SET_PREDICTION_PRESETS,
)
from slot_attention_tf.training import runs, set_prediction  # noqa: E402
from slot_attention_tf.training.set_evaluation import (  # noqa: E402
    SetPredictionEvaluator,
    with_exactly,
)
from slot_attention_tf.visualization import training_curves_figure  # noqa: E402

FLAGS = flags.FLAGS
_ONE_BATCH = 500  # Scenes, as in the reference release without --full_eval.


def define_flags():
    flags.DEFINE_string("model_dir", None, "Folder of the run.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of all datasets. Default: TFDS's.")
    flags.DEFINE_string("dataset", None, "Another dataset than the run's.")
    flags.DEFINE_string("split", "validation", "Split to evaluate on.")
    flags.DEFINE_bool(
        "full_eval", False, f"All scenes of the split, not the first {_ONE_BATCH}."
    )
    flags.DEFINE_integer(
        "batch_size", None, "Images at a time. Default: the run's.", lower_bound=1
    )
    flags.DEFINE_integer("num_slots", None, "Slots, if not the run's.", lower_bound=1)
    flags.DEFINE_integer(
        "num_iterations", None, "Iterations, if not the run's.", lower_bound=1
    )
    flags.DEFINE_list(
        "sweep_iterations",
        ["1", "2", "3", "4", "5", "6", "7"],
        "Iterations to compare.",
    )
    flags.DEFINE_bool(
        "by_num_objects", True, "Compare scenes with exactly N objects, with N slots."
    )
    flags.DEFINE_integer("num_pictures", 4, "Images in the figure.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the initial slots.")


def evaluate():
    """Evaluates the run that the flags name; returns its `SetPredictionResult`."""
    iterations = [_as_iterations(text) for text in FLAGS.sweep_iterations]
    run, model, preset, step = runs.load_run(
        FLAGS.model_dir, SlotAttentionClassifier, SET_PREDICTION_PRESETS
    )
    if FLAGS.dataset is not None:
        preset = dataclasses.replace(preset, dataset=FLAGS.dataset)
    dataset = open_dataset(preset)
    options = {"num_slots": FLAGS.num_slots, "num_iterations": FLAGS.num_iterations}
    result = SetPredictionEvaluator(model, **options)(dataset, FLAGS.seed)
    print(f"{run.path} at step {step}, {preset.dataset}, {FLAGS.split}")
    print(result.summary())

    print_sweep(model, dataset, iterations)
    if FLAGS.by_num_objects:
        print_by_num_objects(model, preset)
    draw(run, model, dataset, options)
    return result


def open_dataset(preset):
    """The scenes to evaluate on, in the preset's resolution."""
    return set_prediction.open_dataset(
        preset,
        FLAGS.split,
        # The random slots of an image depend on its place in the batch.
        FLAGS.batch_size or preset.batch_size,
        data_dir=FLAGS.data_dir,
        num_scenes=None if FLAGS.full_eval else _ONE_BATCH,
    )


def print_sweep(model, dataset, iterations):
    """Prints a row for each number of iterations."""
    for num_iterations in iterations:
        evaluate = SetPredictionEvaluator(model, FLAGS.num_slots, num_iterations)
        result = evaluate(dataset, FLAGS.seed)
        print(f"T = {num_iterations:2}  {result.summary()}")


def print_by_num_objects(model, preset):
    """Prints a row for each number of objects that occurs, up to ten."""
    dataset = open_dataset(dataclasses.replace(preset, max_num_objects=MAX_NUM_OBJECTS))
    counts = {
        int(count)
        for batch in dataset
        for count in batch["target"].numpy()[..., -1].sum(axis=1)
    }
    for num_objects in sorted(counts - {0}):
        evaluate = SetPredictionEvaluator(model, num_objects, FLAGS.num_iterations)
        batch_size = FLAGS.batch_size or preset.batch_size
        scenes = with_exactly(dataset, num_objects, batch_size)
        result = evaluate(scenes, FLAGS.seed)
        print(f"{num_objects:2} objects, K = {num_objects:2}  {result.summary()}")


def draw(run, model, dataset, options):
    """Writes the pictures of a run."""
    batch = next(iter(dataset.unbatch().batch(FLAGS.num_pictures)))
    figures = {
        "sets.png": set_prediction.picture(
            model, batch["image"], batch["target"], seed=FLAGS.seed, **options
        ),
        "curves.png": training_curves_figure(run.read_metrics()),
    }
    print("Pictures:")
    for name, figure in figures.items():
        print(f"  {run.save_figure(name, figure)}")


def _as_iterations(text):
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError(
            "--sweep_iterations must list integers of at least 1, like 3,5,7. "
            f"Received: {text!r}"
        )
    return int(text)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    try:
        evaluate()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
