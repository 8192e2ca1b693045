"""Scores and pictures of a run: `eval/*.py` and `slot-attention-eval`."""

import dataclasses

from absl import flags

from slot_attention_tf.commands import as_integer, define, run_command
from slot_attention_tf.environment import prepare_environment

FLAGS = flags.FLAGS


def discovery():
    """Runs `eval/discovery.py`."""
    prepare_environment()
    _define_flags("discovery")
    _define_flags_of_sweeps(())
    run_command(lambda: _evaluate("discovery"))


def set_prediction():
    """Runs `eval/set_prediction.py`."""
    prepare_environment()
    _define_flags("set_prediction")
    _define_flags_of_sweeps(_ITERATIONS)
    _define_flags_of_sets()
    run_command(lambda: _evaluate("set_prediction"))


def any_task():
    """Runs `slot-attention-eval`, for the task that the run says."""
    prepare_environment()
    _define_flags()
    _define_flags_of_sweeps(())
    _define_flags_of_sets("Set prediction: ")
    run_command(lambda: _evaluate())


_NUM_PICTURES = {"discovery": 8, "set_prediction": 4}
_ITERATIONS = (1, 2, 3, 4, 5, 6, 7)
_ONE_BATCH = 500  # Scenes, as in the reference release without --full_eval.


def _define_flags(task_name=None):
    define("model_dir", None, "Folder of the run.")
    if task_name is not None:
        _define_saved_model(task_name)
    define("data_dir", None, "Folder of all datasets. Default: TFDS's.")
    define("dataset", None, "Another dataset than the run's, as <name>/<config>.")
    define("split", None, "Another split than the task's.")
    define(
        "crop",
        None,
        "Rows and columns to keep: top, bottom, left, right; none for all.",
        parse=_as_crop,
    )
    define("max_num_objects", None, "Objects of a scene at most.", parse=as_integer)
    define("num_scenes", None, "Number of scenes.", parse=as_integer)
    define("batch_size", None, "Images at a time.", parse=as_integer)
    define("num_slots", None, "Slots, if not the run's.", parse=as_integer)
    define("num_iterations", None, "Iterations, if not the run's.", parse=as_integer)
    define("num_pictures", None, "Images in the figures.", parse=as_integer)
    define("seed", 0, "Seed of the random starts.")


def _define_saved_model(task_name):
    from slot_attention_tf.models import find_model, model_names

    models = model_names(task_name)
    presets = {n for model in models for n in find_model(task_name, model).presets}
    define("saved_model", None, "Or folder of a SavedModel of export_saved_model.")
    define("preset", None, "Whose data a SavedModel sees.", choices=sorted(presets))


def _define_flags_of_sweeps(default):
    define(
        "sweep_iterations",
        default,
        "Numbers of iterations to compare, or none (Figures 2 and 5).",
        parse=_as_integers,
    )


def _define_flags_of_sets(prefix=""):
    define(
        "full_eval",
        False,
        f"{prefix}All scenes of the split, not the first {_ONE_BATCH}.",
    )
    define(
        "by_num_objects",
        True,
        f"{prefix}Compare scenes with exactly N objects, with N slots (Figure 5).",
    )


def _evaluate(task_name=None):
    """Scores the run that the flags name, prints and draws."""
    run = _load(task_name)
    step = "" if run.step is None else f" at step {run.step}"
    print(f"{run.directory}{step}")
    dataset = _open(run)
    _score(run, dataset)
    _draw(run, dataset)
    # A SavedModel has the iterations it was exported with.
    if run.step is not None and getattr(run.model, "num_iterations", None) is not None:
        for num_iterations in FLAGS.sweep_iterations:
            label = f"T = {num_iterations:2}  "
            _score(run, dataset, label, num_iterations=num_iterations)
    if run.task.name == "set_prediction" and FLAGS.by_num_objects:
        _score_by_num_objects(run)
    run.directory.publish()


def _score(run, dataset, label="", num_objects=None, **call_options):
    """Prints, and records, the scores with other sizes than the flags say."""
    from slot_attention_tf.tasks.evaluation import evaluate
    from slot_attention_tf.training.options import RunOptions

    evaluate(
        run.task,
        run.directory,
        run.model,
        run.preset,
        run.step,
        RunOptions(model_dir=str(run.directory), data_dir=FLAGS.data_dir),
        split=FLAGS.split,
        dataset=dataset,
        num_objects=num_objects,
        eval_seed=FLAGS.seed,
        record=run.step is not None,
        label=label,
        **{**_call_options(), **call_options},
    )


def _call_options():
    return {"num_slots": FLAGS.num_slots, "num_iterations": FLAGS.num_iterations}


def _score_by_num_objects(run):
    """Scores a run on scenes with exactly N objects, with N slots."""
    from slot_attention_tf.clevr_properties import MAX_NUM_OBJECTS, is_real

    preset = dataclasses.replace(run.preset, max_num_objects=MAX_NUM_OBJECTS)
    run = dataclasses.replace(run, preset=preset)
    dataset = _open(run)
    counts = {
        int(count)
        for batch in dataset
        for count in is_real(batch["target"].numpy()).sum(axis=1)
    }
    for count in sorted(counts - {0}):
        label = f"{count:2} objects, K = {count:2}  "
        try:
            _score(run, dataset, label, num_objects=count, num_slots=count)
        except ValueError as error:  # Not all models can predict sets of other sizes.
            print(f"{label}{error}")


def _load(task_name):
    """The `Run` that the flags name, with the data that they ask for."""
    from slot_attention_tf.export import load_saved_model
    from slot_attention_tf.models import find_model
    from slot_attention_tf.tasks import find_task
    from slot_attention_tf.tasks.runs import Run, load_run
    from slot_attention_tf.training.run_directory import RunDirectory

    saved_model = task_name and FLAGS.saved_model
    if task_name is None and FLAGS.model_dir is None:
        raise ValueError("Say which run: --model_dir=DIR.")
    if (FLAGS.model_dir is None) == (saved_model is None):
        raise ValueError(
            "Give one of --model_dir and --saved_model. Received: "
            f"--model_dir={FLAGS.model_dir}, --saved_model={saved_model}"
        )
    if saved_model is None:
        run = load_run(FLAGS.model_dir, find_task)
        if task_name not in (None, run.task.name):
            raise ValueError(
                f"{FLAGS.model_dir} holds a run of {run.task.name}: evaluate it with "
                f"eval/{run.task.name}.py."
            )
    elif FLAGS.preset is None:
        raise ValueError("A SavedModel does not know its data: say --preset=NAME.")
    else:
        preset = find_model(task_name, "slot_attention").presets[FLAGS.preset]
        model = load_saved_model(saved_model)
        directory = RunDirectory(saved_model)
        run = Run(directory, find_task(task_name), {}, preset, model, None)
    if FLAGS.crop and run.task.name == "set_prediction":
        raise ValueError(
            "Set prediction takes whole images: an object outside of a crop would have "
            f"to be predicted too. Received: --crop={','.join(map(str, FLAGS.crop))}"
        )
    names = ("dataset", "max_num_objects", "batch_size", "num_slots")
    given = {name: FLAGS[name].value for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if FLAGS["crop"].present:  # Also if it is none.
        given["crop"] = FLAGS.crop
    return dataclasses.replace(run, preset=dataclasses.replace(run.preset, **given))


def _open(run):
    split = FLAGS.split or run.task.test_split
    number = FLAGS.num_scenes or run.task.num_test_scenes
    if number is None and not FLAGS.full_eval:
        number = _ONE_BATCH
    return run.task.open_dataset(run.preset, split, FLAGS.data_dir, num_scenes=number)


def _draw(run, dataset):
    """Writes the pictures of a run."""
    from slot_attention_tf.paper.examples import collect_examples, save_examples
    from slot_attention_tf.visualization import training_curves_figure

    number = FLAGS.num_pictures or _NUM_PICTURES[run.task.name]
    batch = next(iter(dataset.unbatch().batch(number)))
    figures = run.task.figures(run.model, batch, FLAGS.seed, **_call_options())
    if metrics := run.directory.read_metrics():
        figures["curves"] = training_curves_figure(metrics)
    print("Pictures:")
    for name, figure in figures.items():
        file = run.directory.save_figure(f"{name}.png", figure)
        print(f"  {run.directory}/{file.parent.name}/{file.name}")
    rows = run.directory.read_evaluations()
    if run.step is not None and rows[-1] == run.directory.read_final_evaluation():
        # As it was trained: what results/ shows of the run.
        examples = collect_examples(
            run.task, run.model, batch, FLAGS.seed, **_call_options()
        )
        save_examples(run.directory.examples, examples)


def _as_crop(text):
    from slot_attention_tf.presets import Preset
    from slot_attention_tf.settings import parse

    return parse(Preset.__dataclass_fields__["crop"], text)


def _as_integers(text):
    if isinstance(text, tuple):
        return text
    return tuple(as_integer(each) for each in text.split(",") if each.strip())
