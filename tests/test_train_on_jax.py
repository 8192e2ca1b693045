"""`examples/train_on_jax.py` as a user runs it: no TensorFlow, until it is scored."""

import json

import numpy as np
import pytest

from slot_attention_tf.training.run_directory import RunDirectory
from tests.conftest import ROOT
from tests.tasks import tiny
from tests.test_backends import WITHOUT_TENSORFLOW

pytestmark = pytest.mark.slow
SCRIPT = str(ROOT / "examples" / "train_on_jax.py")
RUN = """
import runpy, sys
sys.argv = [{script!r}, *{arguments!r}]
runpy.run_path({script!r}, run_name="__main__")
"""
# The scenes that `prepare` draws are those that the script draws.
COMPARE_DATA = """
import runpy, sys, tempfile
import slot_attention_tf
from slot_attention_tf.data import builders
script = runpy.run_path({script!r})
with tempfile.TemporaryDirectory() as folder:
    for name, (draw, options, number) in script["GENERATED"].items():
        dataset, config, version = name.split("/")
        classes = [each for each in vars(builders).values() if isinstance(each, type)]
        (builder_class,) = [c for c in classes if getattr(c, "name", "") == dataset]
        builder = builder_class(config=config, data_dir=folder)
        assert (draw, options) == builder._draw_scene(), name
        assert number == builder.builder_config.num_train, name
        assert builder.builder_config.seed == 0 and str(builder.version) == version
    print(len(script["GENERATED"]))
"""
# Three steps of the compiled loop, and of Keras's own `fit` on the same batches.
COMPARE_FIT = """
import json, runpy, sys
script = runpy.run_path({script!r})
import jax, keras, numpy as np
from slot_attention_tf.models.registry import find_model
from slot_attention_tf.settings import replace
from slot_attention_tf.training.schedule import WarmupExponentialDecay
entry = find_model("discovery", "slot_attention")
preset = replace(
    entry.presets["tetrominoes_cpu"], batch_size=4, clip_norm=0.05, warmup_steps=1
)
images = np.random.default_rng(0).integers(0, 256, (12, 35, 35, 3), "uint8")
weights = []
for form in ("loop", "fit"):
    run = script["Run"](entry, preset, 3, script["RunDirectory"]("unused"))
    start = [np.array(each) for each in run.model.get_weights()]
    if form == "loop":
        parts = run.model, run.optimizer, preset, {{"image": images}}
        train = script["make_train"](*parts)
        rows = np.arange(12, dtype="int32").reshape(3, 4)
        state, losses = train(run.get(), rows)
        run.set(state)
    else:
        schedule = WarmupExponentialDecay(
            preset.learning_rate, 1, preset.decay_rate, preset.decay_steps
        )
        adam = keras.optimizers.Adam(schedule, epsilon=1e-8, global_clipnorm=0.05)
        run.model.compile(adam)
        inputs = np.asarray(script["to_model_input"](images, preset))
        run.model.fit(inputs, batch_size=4, epochs=1, shuffle=False, verbose=0)
    weights.append(run.model.get_weights())
moved = max(float(np.abs(a - b).max()) for a, b in zip(start, weights[0]))
apart = max(float(np.abs(a - b).max()) for a, b in zip(*weights))
print(json.dumps([moved, apart]))
"""


def run(folder, run_python, *flags):
    arguments = [f"--scenes={folder}/scenes", "--num_scenes=1700", *flags]
    code = RUN.format(script=SCRIPT, arguments=arguments)
    return run_python(WITHOUT_TENSORFLOW + code, KERAS_BACKEND="jax")


def flags_of(settings, **others):
    """Flags of a tiny run; the script has no intervals."""
    settings = {**settings, "eval_interval": 2, **others}
    names = ("dataset", "log_interval", "checkpoint_interval")
    return [
        f"--{name}={value}" for name, value in settings.items() if name not in names
    ]


def test_draws_the_scenes_that_prepare_draws(run_python):
    pytest.importorskip("jax")
    assert int(run_python(COMPARE_DATA.format(script=SCRIPT)).splitlines()[-1]) == 7


def test_a_step_is_that_of_keras(run_python):
    pytest.importorskip("jax")
    output = run_python(COMPARE_FIT.format(script=SCRIPT), KERAS_BACKEND="jax")
    moved, apart = json.loads(output.splitlines()[-1])
    assert moved > 1e-3 and apart < 1e-5 * moved + 1e-6


def test_a_run_continues_and_is_scored_with_tensorflow(
    run_python, run_script, tmp_path, capsys
):
    pytest.importorskip("jax")
    folders = [tmp_path / "whole", tmp_path / "continued"]
    for folder, parts in zip(folders, ((4,), (2, 4)), strict=True):
        for steps in parts:
            flags = flags_of(tiny.DISCOVERY, num_train_steps=steps, ema=0.9)
            flags += ["--append_colors", "--noimplicit_differentiation"]
            output = run(tmp_path, run_python, *flags, f"--model_dir={folder}")
            assert f"{steps}/{steps}" in output and "fg_ari" in output
    config = RunDirectory(folders[1]).read_config()
    assert config["changes"] == ["num_train_steps: 2 -> 4"]
    assert config["settings"]["append_colors"] is True
    assert config["settings"]["implicit_differentiation"] is False

    tiny.prepare_discovery(tmp_path / "data", num_test=32)
    scores = []
    for folder in folders:
        options = {"data_dir": tmp_path / "data", "dataset": "tetrominoes/tiny"}
        options |= {"model_dir": folder, "num_scenes": 32, "num_pictures": 1}
        assert not run_script("eval/discovery.py", **options)
        assert "at step 4" in capsys.readouterr().out
        scores.append(RunDirectory(folder).read_final_evaluation())
    for name in ("fg_ari", "ari", "mse"):
        np.testing.assert_allclose(scores[0][name], scores[1][name], atol=1e-4)


def test_the_best_of_two_starts_goes_on(run_python, tmp_path):
    pytest.importorskip("jax")
    settings = {"num_train_steps": 4, "warmup_steps": 2, "num_starts": 2}
    flags = [*flags_of(tiny.DISCOVERY, **settings), f"--model_dir={tmp_path / 'run'}"]
    output = run(tmp_path, run_python, *flags)
    assert "Start 2 of 2, with seed 1000." in output and "4/4" in output
    directory = RunDirectory(tmp_path / "run")
    starts = directory.read_config()["starts"]
    assert {each["seed"] for each in starts} == {0, 1000}
    assert starts[0]["loss"] < starts[1]["loss"]
    # The curve goes on from the best one, and its time is that of both.
    rows = [row for row in directory.read_metrics() if "loss" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["loss"] == starts[0]["loss"]
    assert rows[1]["seconds"] > 0.9 * sum(each["seconds"] for each in starts)
    assert "Start 1" not in run(tmp_path, run_python, *flags)


def test_sets_and_errors(run_python, tmp_path):
    pytest.importorskip("jax")
    folder = tmp_path / "sets"
    settings = {**tiny.SET_PREDICTION, "preset": "clevr_cpu", "encoder_strides": 4}
    settings |= {"resolution": "64,64", "num_train_steps": 2}
    flags = [*flags_of(settings), f"--model_dir={folder}", "--num_scenes=544"]
    assert "AP@0.125" in run(tmp_path, run_python, *flags)
    (row,) = [each for each in RunDirectory(folder).read_metrics() if "loss" in each]
    assert row["step"] == 2 and np.isfinite(row["loss"])
    for flag, words in (
        ("--preset=clevr6", "What can be drawn here are tetrominoes/synthetic"),
        ("--preset=nothing", "The presets of --model=slot_attention are"),
        ("--slot_size=0", "`slot_size` must be at least 1. Received: slot_size=0"),
        ("--num_starts=2 --warmup_steps=0", "Starts are compared after the warm-up"),
        ("--num_scenes=20", "Too few scenes: .* Received: --num_scenes=20"),
    ):
        with pytest.raises(AssertionError, match=words):
            run(tmp_path, run_python, *flag.split())
