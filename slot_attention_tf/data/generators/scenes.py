"""Many scenes from one drawing function, on any number of processes.

Scene `i` of a stream is drawn with `np.random.default_rng([seed, i])`, so it depends
on the seed and its index alone: not on the number of processes, nor on the scenes
before it.

The workers are plain Python processes that get their task through a pipe, and no pool
of the standard library: `fork` is not safe beside TensorFlow's threads, and `spawn`
and `forkserver` run the user's script once more in every worker, which breaks one
without a main guard and makes each worker import what the script imports.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import time
import traceback

import numpy as np
from tqdm import tqdm

# Training streams take seeds below this number; `held_out_seed` those above.
SEED_LIMIT = 2**31

# A chunk should last long enough to hide the cost of a pipe, and short enough for
# the workers to end together.
_CHUNK_SECONDS = 0.2
_MAX_CHUNK_SCENES = 512


def scene_rng(seed, index):
    """Returns the random generator of one scene of a stream.

    Args:
        seed: Integer in `[0, 2**32)`, the stream.
        index: Integer in `[0, 2**32)`, the scene in the stream.

    Returns:
        A `np.random.Generator`.
    """
    return np.random.default_rng([seed, index])


def held_out_seed(seed):
    """Returns the seed of the stream that test scenes of `seed` are drawn from.

    The streams of `seed` and of `held_out_seed(seed)` never share a scene, nor does
    any other training stream share one with a test stream. (Adding `2**32` would not
    do: NumPy splits larger integers into two words, and stream and index collide.)

    Args:
        seed: Integer in `[0, 2**31)`.

    Returns:
        An integer in `[2**31, 2**32)`.
    """
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(
            "The seed of a training stream must be in [0, 2**31). "
            f"Received: seed={seed}"
        )
    return SEED_LIMIT + seed


def iterate_scenes(
    draw_scene,
    num_scenes,
    seed,
    first=0,
    processes=None,
    progress=False,
    **options,
):
    """Yields scenes `first` to `first + num_scenes - 1` of a stream, in order.

    Args:
        draw_scene: Function `draw_scene(rng, **options)` that returns one scene, a
            dict of NumPy arrays. To be used by several processes, it must live in a
            module that can be imported.
        num_scenes: Integer >= 0, how many scenes to draw.
        seed: Integer in `[0, 2**32)`, the stream.
        first: Integer >= 0, the index of the first scene.
        processes: Integer >= 1, how many processes draw; 1 means this one. `None`
            means one for every core this process may use.
        progress: Boolean, whether to show a progress bar on the standard error.
        **options: Passed on to `draw_scene`.

    Returns:
        An iterator over dicts of NumPy arrays.
    """
    _check_range(num_scenes, seed, first)
    if processes is None:
        processes = available_cores()
    if processes < 1:
        raise ValueError(
            "`processes` must be at least 1, or None for all cores. "
            f"Received: processes={processes}"
        )
    if processes > 1 and draw_scene.__module__ == "__main__":
        raise ValueError(
            "Several processes can only run a `draw_scene` of a module that they can "
            "import. Move it out of the main script, or pass `processes=1`. "
            f"Received: draw_scene={draw_scene}, processes={processes}"
        )
    # A trial scene tells the chunk size, and shows wrong options before any worker.
    indices = range(first, first + num_scenes)
    start = time.perf_counter()
    if num_scenes:
        draw_scene(scene_rng(seed, first), **options)
    seconds = max(time.perf_counter() - start, 1e-6)
    size = int(np.clip(_CHUNK_SECONDS / seconds, 1, _MAX_CHUNK_SCENES))
    processes = min(processes, -(-num_scenes // size)) or 1
    if processes == 1:
        scenes = (draw_scene(scene_rng(seed, i), **options) for i in indices)
    else:
        scenes = _draw_in_processes(
            (draw_scene, seed, indices, size, processes, options)
        )
    if progress:
        return iter(tqdm(scenes, total=num_scenes, unit=" scenes"))
    return scenes


def generate_scenes(
    draw_scene,
    num_scenes,
    seed,
    first=0,
    processes=None,
    progress=False,
    **options,
):
    """Draws scenes into memory; arguments as in `iterate_scenes`.

    Returns:
        A dict with the keys of a scene, and arrays of shape `[num_scenes, ...]`.
    """
    if num_scenes < 1:
        raise ValueError(
            f"`num_scenes` must be at least 1. Received: num_scenes={num_scenes}"
        )
    arrays = {}
    scenes = iterate_scenes(
        draw_scene, num_scenes, seed, first, processes, progress, **options
    )
    for i, scene in enumerate(scenes):
        for key, value in scene.items():
            if i == 0:
                arrays[key] = np.empty((num_scenes, *value.shape), value.dtype)
            arrays[key][i] = value
    return arrays


def available_cores():
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_range(num_scenes, seed, first):
    if num_scenes < 0 or first < 0 or first + num_scenes > 2**32:
        raise ValueError(
            "Scene indices must be in [0, 2**32). "
            f"Received: first={first}, num_scenes={num_scenes}"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must be in [0, 2**32). Received: seed={seed}")


def _draw_in_processes(task):
    """Yields the scenes of `task`; worker `w` of `P` draws chunks w, w + P, ..."""
    _, _, indices, size, processes, _ = task
    workers = []
    try:
        for w in range(processes):
            workers.append(_start_worker(w, task))
        for chunk in range(-(-len(indices) // size)):
            yield from _read_chunk(workers[chunk % processes])
    finally:
        for worker in workers:
            worker.kill()
            worker.stdout.close()
            worker.wait()


def _start_worker(index, task):
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import _work; _work()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Every core has its worker: threads inside a worker would only be in the way.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    with contextlib.suppress(BrokenPipeError), worker.stdin as stdin:
        pickle.dump((index, task), stdin)
    return worker


def _read_chunk(worker):
    try:
        chunk, error = pickle.load(worker.stdout)
    except EOFError:
        raise RuntimeError(
            "A process that draws scenes ended before its work was done, with exit "
            f"code {worker.wait()}. Its message, if any, stands above."
        ) from None
    if error:
        raise RuntimeError(f"Drawing a scene failed in a worker process:\n{error}")
    keys = list(chunk)
    for values in zip(*chunk.values(), strict=True):
        yield dict(zip(keys, values, strict=True))


def _work():
    """Runs in a worker: draws its chunks, and writes each to the standard output."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What `draw_scene` prints must not get among the results.
    worker, (draw_scene, seed, indices, size, processes, options) = pickle.load(
        sys.stdin.buffer
    )
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        for start in range(worker * size, len(indices), processes * size):
            chunk, error = None, None
            try:
                scenes = [
                    draw_scene(scene_rng(seed, i), **options)
                    for i in indices[start : start + size]
                ]
                chunk = {k: np.stack([s[k] for s in scenes]) for k in scenes[0]}
            except Exception:
                error = traceback.format_exc()
            pickle.dump((chunk, error), results, pickle.HIGHEST_PROTOCOL)
            results.flush()
            if error:
                return
