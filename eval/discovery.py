"""Evaluates a run of object discovery and draws what it found.

    python eval/discovery.py --model_dir=runs/discovery_0
    python eval/discovery.py --saved_model=DIR

The second form takes what `export_saved_model` wrote. Prints FG-ARI and reconstruction
error on the test split. Writes pictures into `<folder>/pictures`: Figure 3 of the paper
(input, reconstruction, segmentation, every slot), the attention of each iteration, and
the training curves of a run.
"""

import sys

from absl import app, flags

from slot_attention_tf.training.environment import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402

from slot_attention_tf.export import load_saved_model  # noqa: E402
from slot_attention_tf.models import SlotAttentionAutoEncoder  # noqa: E402
from slot_attention_tf.presets import DISCOVERY_PRESETS  # noqa: E402
from slot_attention_tf.training import discovery, runs  # noqa: E402
from slot_attention_tf.training.evaluation import DiscoveryEvaluator  # noqa: E402
from slot_attention_tf.training.randomness import fixed_randomness  # noqa: E402
from slot_attention_tf.training.run_directory import RunDirectory  # noqa: E402
from slot_attention_tf.visualization import (  # noqa: E402
    attention_figure,
    slots_figure,
    training_curves_figure,
)

FLAGS = flags.FLAGS
_NUM_ATTENTION_IMAGES = 3  # Each takes a row for every iteration.


def define_flags():
    flags.DEFINE_string("model_dir", None, "Folder of the run.")
    flags.DEFINE_string("saved_model", None, "Or folder of a SavedModel.")
    flags.mark_flags_as_mutual_exclusive(["model_dir", "saved_model"], required=True)
    flags.DEFINE_enum(
        "preset",
        None,
        sorted(DISCOVERY_PRESETS),
        "Whose data a SavedModel sees. Default: that with the same architecture.",
    )
    flags.DEFINE_string("data_dir", None, "Folder of all datasets. Default: TFDS's.")
    flags.DEFINE_string("dataset", None, "Another dataset than the run's.")
    flags.DEFINE_integer("num_scenes", discovery.NUM_TEST_SCENES, "Test images.")
    flags.DEFINE_integer(
        "batch_size", None, "Images at a time. Default: the run's.", lower_bound=1
    )
    flags.DEFINE_integer("num_slots", None, "Slots, if not the run's.", lower_bound=1)
    flags.DEFINE_integer(
        "num_iterations", None, "Iterations, if not the run's.", lower_bound=1
    )
    flags.DEFINE_integer("num_pictures", 8, "Images in the figures.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the initial slots.")


def load():
    """The run or SavedModel that the flags name: `(run, model, preset, step)`."""
    if FLAGS.saved_model is None:
        return runs.load_run(
            FLAGS.model_dir, SlotAttentionAutoEncoder, DISCOVERY_PRESETS
        )
    model = load_saved_model(FLAGS.saved_model)
    name = FLAGS.preset or runs.preset_like(model.config, DISCOVERY_PRESETS)
    print(f"Data of the preset {name}")
    preset = discovery.with_replacements(
        DISCOVERY_PRESETS[name], num_slots=model.num_slots
    )
    return RunDirectory(FLAGS.saved_model), model, preset, None


def evaluate():
    """Evaluates the run that the flags name; returns its `DiscoveryResult`."""
    run, model, preset, step = load()
    preset = discovery.with_replacements(
        preset,
        dataset=FLAGS.dataset,
        num_slots=FLAGS.num_slots,
        # The random slots of an image depend on its place in the batch.
        batch_size=FLAGS.batch_size,
    )
    test_set = discovery.open_dataset(
        preset, "test", FLAGS.data_dir, preset.batch_size, num_scenes=FLAGS.num_scenes
    )
    discovery.warn_of_few_slots(preset, test_set)
    options = {"num_slots": FLAGS.num_slots, "num_iterations": FLAGS.num_iterations}
    result = DiscoveryEvaluator(model, **options)(test_set, FLAGS.seed)
    print(run.path if step is None else f"{run.path} at step {step}")
    print(result.summary())
    print(f"Reconstruction error (MSE) {result.values()['mse']:.5f}")
    if step is not None:
        for sign in runs.signs_of_failure(run, result.values()):
            print(f"FAILED RUN? {sign}")
        if FLAGS.dataset is None and set(options.values()) == {None}:
            runs.record_evaluation(run, step, result.values())
    draw(run, model, test_set, options)
    return result


def draw(run, model, test_set, options):
    """Writes the pictures of a run."""
    batch = next(iter(test_set.unbatch().batch(FLAGS.num_pictures)))
    images = batch["image"].numpy()
    with fixed_randomness(model, FLAGS.seed):
        outputs = model(images, return_attention=True, **options)
    recon_combined, recons, masks, _, attention = map(np.asarray, outputs)
    figures = {"slots.png": slots_figure(images, recon_combined, recons, masks)}
    if metrics := run.read_metrics():
        figures["curves.png"] = training_curves_figure(metrics)
    grid = getattr(model.encoder, "feature_resolution", None)
    if grid is not None:
        few = slice(_NUM_ATTENTION_IMAGES)
        figures["attention.png"] = attention_figure(images[few], attention[few], grid)
    print("Pictures:")
    for name, figure in figures.items():
        print(f"  {run.save_figure(name, figure)}")


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
