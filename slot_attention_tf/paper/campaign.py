"""Trains and evaluates what the tables and figures need and `results/` lacks.

    python -m slot_attention_tf.paper --size=cpu --seeds=5

`make paper` runs this in a checkout of the repository, then `eval/paper.py`. Each run
is made by the commands that a user would type. A run that was stopped is continued, and
a row of `results/` is never made again. On a machine with several GPUs each run gets
one.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import queue
import signal
import subprocess
import sys

from slot_attention_tf import results
from slot_attention_tf.environment import prepare_environment
from slot_attention_tf.paper.experiments import EXPERIMENTS, SIZES
from slot_attention_tf.settings import replace
from slot_attention_tf.training.devices import PRECISIONS
from slot_attention_tf.training.run_directory import RunDirectory
from slot_attention_tf.training.starts import seeds_of_starts

_ITERATIONS = "1,2,3,4,5,6,7"
# Scenes of up to ten objects for models that were trained on six (Figure 2).
_MORE_OBJECTS = {
    "clevr6": "clevr_with_masks/real",
    "clevr6_cpu": "clevr_with_masks/laptop10",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a model, a preset and a seed."""

    task: str
    preset: str
    model: str
    seed: int
    dataset: str
    num_starts: int = 1

    @property
    def name(self):
        return results.run_name(self.model, self.seed, self.num_starts)

    def __str__(self):
        return f"{self.preset}, {self.model}, seed {self.seed}"


class StoppedError(Exception):
    """A run was stopped before its end."""


class Commands:
    """Runs commands; SIGTERM reaches those that run, and no other follows."""

    def __init__(self):
        self._running = set()
        self._stopped = False

    def run(self, command, environment=None):
        """Runs a command to its end.

        Args:
            command: List of strings.
            environment: Optional dictionary of variables to add for it.

        Raises:
            StoppedError: If this process was told to stop.
            subprocess.CalledProcessError: If the command failed.
        """
        if not self._stopped:
            process = subprocess.Popen(
                command, env={**os.environ, **(environment or {})}
            )
            self._running.add(process)
            if self._stopped:  # Since the question above.
                process.terminate()
            try:
                status = process.wait()
            except BaseException:  # Ctrl-C: as `subprocess.run` does.
                process.kill()
                raise
            finally:
                self._running.discard(process)
        if self._stopped:
            raise StoppedError("The same command continues.")
        if status:
            raise subprocess.CalledProcessError(status, command)

    @contextlib.contextmanager
    def ended_by_sigterm(self):
        """Where SIGTERM is passed on; for the main thread."""
        previous = signal.signal(signal.SIGTERM, self._stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _stop(self, number, frame):
        self._stopped = True
        for process in list(self._running):
            process.terminate()


@dataclasses.dataclass(frozen=True)
class Campaign:
    """Where a campaign keeps its runs, data and results.

    Attributes:
        runs: Folder of all runs.
        results: Folder of all rows.
        data_dir: Folder of all datasets, or None for that of TFDS.
        num_train_steps: Steps of every run, or None for those of its preset.
        precision: String, the arithmetic of every run; see `RunOptions`.
        commands: What runs the commands.
    """

    runs: pathlib.Path
    results: pathlib.Path
    data_dir: str | None
    num_train_steps: int | None = None
    precision: str = "float32"
    commands: Commands = dataclasses.field(default_factory=Commands)

    def model_dir(self, job):
        # Runs that differ in their seed only stand side by side: each is compared
        # with the others.
        return self.runs / job.preset / job.name

    def is_done(self, job):
        return (self.results / job.task / job.preset / f"{job.name}.json").exists()

    def prepare(self, jobs):
        """Generates, or downloads, the data of runs, each dataset once."""
        names = [job.dataset for job in jobs]
        names += [
            _MORE_OBJECTS[job.preset] for job in jobs if job.preset in _MORE_OBJECTS
        ]
        for name in dict.fromkeys(names):
            self._run("-m", "slot_attention_tf.data.prepare", name)

    def carry_out(self, job, environment=None):
        """Trains, or continues, a run, evaluates it and adds its row.

        Raises:
            StoppedError: If the run was stopped before its end.
            subprocess.CalledProcessError: If a command failed.
        """
        model_dir = self.model_dir(job)
        where = f"--model_dir={model_dir}"
        flags = [f"--model={job.model}", f"--preset={job.preset}", f"--seed={job.seed}"]
        if self.precision != "float32":
            flags.append(f"--precision={self.precision}")
        if self.num_train_steps is not None:
            flags.append(f"--num_train_steps={self.num_train_steps}")
        train = f"train_{job.task}.py"
        self._run(train, *flags, where, environment=environment)
        if RunDirectory(model_dir).read_final_evaluation() is None:
            raise StoppedError(f"{job} was stopped; the same command continues it.")
        evaluate = [f"eval/{job.task}.py", where]
        if job.model == "slot_attention" and job.preset in _MORE_OBJECTS:
            more = [f"--dataset={_MORE_OBJECTS[job.preset]}", "--num_slots=11"]
            more += ["--max_num_objects=10", f"--sweep_iterations={_ITERATIONS}"]
            self._run(*evaluate, *more, environment=environment)
        if job.task == "set_prediction":
            evaluate.append("--full_eval")
        evaluate.append(f"--sweep_iterations={_ITERATIONS}")
        self._run(*evaluate, environment=environment)
        return results.add_run(model_dir, self.results)

    def _run(self, *command, environment=None):
        data = [] if self.data_dir is None else [f"--data_dir={self.data_dir}"]
        self.commands.run([sys.executable, *command, *data], environment)


def plan(size, seeds, models=None, experiments=None, num_train_steps=None):
    """All runs of the paper, the first seed of each before the second of any.

    Args:
        size: String, `"cpu"` or `"paper"`: whose presets.
        seeds: Integer, how many seeds.
        models: Optional list of the names of models to leave it at.
        experiments: Optional list of the names of experiments to leave it at.
        num_train_steps: Steps of every run, or None for those of its preset.

    Returns:
        List of `Job`.
    """
    from slot_attention_tf.models import find_model

    steps = {} if num_train_steps is None else {"num_train_steps": num_train_steps}
    jobs = []
    chosen = [
        each for each in EXPERIMENTS if not experiments or each.name in experiments
    ]
    for seed in range(seeds):
        for experiment in chosen:
            name = experiment.presets[size]
            for model in experiment.models:
                preset = find_model(experiment.task, model).presets.get(name)
                if preset is None or (models and model not in models):
                    continue
                starts = len(seeds_of_starts(replace(preset, **steps), seed))
                run = (experiment.task, name, model, seed, preset.dataset, starts)
                jobs.append(Job(*run))
    return jobs


def carry_out_all(campaign, jobs, gpus=()):
    """Carries out all runs that have no row yet.

    Args:
        campaign: A `Campaign`.
        jobs: List of `Job`.
        gpus: Names of GPUs as `CUDA_VISIBLE_DEVICES` has them; none or one means one
            run after another.

    Returns:
        List of pairs of a job and the error that ended it.
    """
    open_jobs = [job for job in jobs if not campaign.is_done(job)]
    print(f"{len(jobs) - len(open_jobs)} of {len(jobs)} runs have their rows.")
    devices = queue.SimpleQueue()
    for gpu in gpus or [None]:
        devices.put(gpu)
    failures = []

    def work(number, job):
        gpu = devices.get()
        print(f"[{number} of {len(open_jobs)}] {job}", flush=True)
        try:
            environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
            print(f"Row: {campaign.carry_out(job, environment)}", flush=True)
        except (subprocess.CalledProcessError, ValueError) as error:
            failures.append((job, error))
        finally:
            devices.put(gpu)

    campaign.prepare(open_jobs)
    with concurrent.futures.ThreadPoolExecutor(max(1, len(gpus))) as pool:
        futures = [
            pool.submit(work, number, job)
            for number, job in enumerate(open_jobs, start=1)
        ]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failures


def visible_gpus():
    """Names of all GPUs that NVIDIA's driver shows, or what the user chose of them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(index) for index in range(len(listed.stdout.splitlines()))]


def main(arguments=None):
    """Runs the command line."""
    prepare_environment()
    parser = argparse.ArgumentParser(
        prog="python -m slot_attention_tf.paper", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--size", choices=SIZES, default="cpu", help="whose presets")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each")
    names = [experiment.name for experiment in EXPERIMENTS]
    parser.add_argument("--experiments", nargs="*", choices=names, help="these only")
    models = sorted({model for each in EXPERIMENTS for model in each.models})
    parser.add_argument("--models", nargs="*", choices=models, help="these only")
    parser.add_argument("--runs", default="runs/paper", help="folder of all runs")
    parser.add_argument("--results", default=results.FOLDER, help="folder of all rows")
    parser.add_argument("--data_dir", help="folder of all datasets; default: TFDS's")
    parser.add_argument(
        "--num_train_steps", type=int, help="short runs, to try everything"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="arithmetic of all runs; auto is what the device computes fastest",
    )
    parser.add_argument("--list", action="store_true", help="say what is missing")
    options = parser.parse_args(arguments)
    if not pathlib.Path("train_discovery.py").exists():
        sys.exit("Run this in the folder of the repository: it calls its scripts.")
    campaign = Campaign(
        pathlib.Path(options.runs),
        pathlib.Path(options.results),
        options.data_dir,
        options.num_train_steps,
        options.precision,
    )
    chosen = (options.models, options.experiments, options.num_train_steps)
    jobs = plan(options.size, options.seeds, *chosen)
    if options.list:
        for job in jobs:
            print(f"{'done' if campaign.is_done(job) else 'missing':8} {job}")
        return
    try:
        with campaign.commands.ended_by_sigterm():
            failures = carry_out_all(campaign, jobs, visible_gpus())
    except (StoppedError, KeyboardInterrupt) as error:
        sys.exit(f"Stopped. {error}")
    except subprocess.CalledProcessError as error:  # Of the data, before all runs.
        sys.exit(f"The data could not be prepared, as said above. {error}")
    for job, error in failures:
        print(f"FAILED: {job}: {error}")
    if failures:
        sys.exit(1)
