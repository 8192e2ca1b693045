"""Tests of the driver that draws many scenes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from slot_attention_tf.data.generators import scenes


def draw_numbers(rng, size=3, fail_above=1.0, exit_code=None):
    if exit_code is not None and os.environ["_TEST_PARENT"] != str(os.getpid()):
        os._exit(exit_code)
    numbers = rng.random(size)
    if numbers[0] > fail_above:
        raise ArithmeticError(f"drew {numbers[0]}")
    print("a drawing function may print")
    return {"numbers": numbers, "label": np.uint8(rng.integers(10))}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(scenes, "_MAX_CHUNK_SCENES", 3)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_scene_depends_on_seed_and_index_only(processes):
    drawn = scenes.iterate_scenes(
        draw_numbers, 11, seed=5, first=2, processes=processes
    )
    drawn = list(drawn)
    assert len(drawn) == 11
    for i, scene in enumerate(drawn):
        truth = draw_numbers(np.random.default_rng([5, 2 + i]))
        np.testing.assert_array_equal(scene["numbers"], truth["numbers"])
        assert scene["label"] == truth["label"]


def test_generate_scenes_stacks_the_iterated_scenes():
    arrays = scenes.generate_scenes(draw_numbers, 7, seed=1, processes=2, size=4)
    drawn = list(scenes.iterate_scenes(draw_numbers, 7, seed=1, processes=1, size=4))
    assert arrays["numbers"].shape == (7, 4)
    assert arrays["label"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["numbers"], [s["numbers"] for s in drawn])


def test_no_scenes_is_an_empty_iteration():
    assert list(scenes.iterate_scenes(draw_numbers, 0, seed=0)) == []


def test_streams_of_training_and_test_scenes_are_disjoint():
    firsts = {
        scenes.scene_rng(seed, i).random()
        for base in range(4)
        for seed in (base, scenes.held_out_seed(base))
        for i in range(50)
    }
    assert len(firsts) == 4 * 2 * 50


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_held_out_seed_rejects_seeds_outside_of_its_range(seed):
    with pytest.raises(ValueError, match=f"Received: seed={seed}"):
        scenes.held_out_seed(seed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_scenes": -1}, "num_scenes=-1"),
        ({"first": -2}, "first=-2"),
        ({"num_scenes": 1, "first": 2**32}, "first=4294967296"),
        ({"seed": -3}, "seed=-3"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"processes": 0}, "processes=0"),
    ],
)
def test_numbers_out_of_range_are_errors(arguments, message):
    arguments = {"num_scenes": 4, "seed": 0, **arguments}
    with pytest.raises(ValueError, match=f"Received: .*{message}"):
        scenes.iterate_scenes(draw_numbers, **arguments)


def test_generate_scenes_needs_a_scene():
    with pytest.raises(ValueError, match="num_scenes=0"):
        scenes.generate_scenes(draw_numbers, 0, seed=0)


def test_a_function_of_the_main_script_needs_one_process():
    program = (
        "import numpy as np\n"
        "from slot_attention_tf.data.generators import scenes\n"
        "def draw(rng): return {'x': rng.random(1)}\n"
        "print(len(scenes.generate_scenes(draw, 5, 0, processes=1)['x']))\n"
        "scenes.iterate_scenes(draw, 5, 0, processes=2)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout == "5\n"
    assert "pass `processes=1`" in run.stderr


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from slot_attention_tf.data.generators import scenes, tetrominoes\n"
        "scenes._MAX_CHUNK_SCENES = 3\n"
        "draw = tetrominoes.draw_scene\n"
        "drawn = scenes.generate_scenes(draw, 12, seed=0, processes=2)\n"
        "print(len(drawn['image']))\n"
    )
    run = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("12\n", "")


def test_an_error_in_a_worker_reaches_the_caller():
    drawn = scenes.iterate_scenes(
        draw_numbers, 60, seed=0, processes=2, fail_above=0.95
    )
    with pytest.raises(RuntimeError, match="ArithmeticError: drew 0[.]9"):
        list(drawn)


def test_a_worker_that_dies_is_an_error(monkeypatch):
    monkeypatch.setenv("_TEST_PARENT", str(os.getpid()))
    drawn = scenes.iterate_scenes(draw_numbers, 60, seed=0, processes=2, exit_code=7)
    with pytest.raises(RuntimeError, match="exit code 7"):
        list(drawn)


def test_workers_end_when_the_iteration_is_left(monkeypatch):
    started = []
    start = scenes._start_worker
    monkeypatch.setattr(
        scenes, "_start_worker", lambda *a: started.append(start(*a)) or started[-1]
    )
    drawn = scenes.iterate_scenes(draw_numbers, 1000, seed=0, processes=2)
    next(drawn)
    drawn.close()
    assert len(started) == 2
    assert all(worker.poll() is not None for worker in started)


def test_progress_is_shown_on_the_standard_error(capsys):
    list(scenes.iterate_scenes(draw_numbers, 5, 0, processes=1, progress=True))
    assert "5/5" in capsys.readouterr().err


def test_generators_work_without_tensorflow(run_python):
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'tensorflow_datasets', 'keras'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from slot_attention_tf.data.generators import tetrominoes\n"
        "print(tetrominoes.draw_scene(np.random.default_rng(0))['image'].shape)\n"
    )
    assert run_python(program) == "(35, 35, 3)\n"
