"""Where and in which precision a run computes."""

import json
import os

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "slurm", "tpu")
# What tells a process which task of which step it is.
_SLURM_VARIABLES = (
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
)
PRECISIONS = ("float32", "bfloat16", "float16", "auto")
# What a CPU of x86_64 needs for them, one of each pair.
_CPU_UNITS = {
    "bfloat16": {"avx512_bf16", "amx_bf16"},
    "float16": {"avx512_fp16", "amx_fp16"},
}


def prepare_process(options):
    """Applies the options that concern the whole process.

    Args:
        options: A `RunOptions`.

    Returns:
        The `tf.distribute.Strategy` of the run. Nothing of TensorFlow may run before:
        the collective operations of several workers must be configured first.
    """
    strategy = make_strategy(options.strategy)
    import keras
    import tensorflow as tf

    precision = options.precision
    if precision == "auto":
        precision, reason = choose_precision()
        print(f"Precision {precision}: {reason}.")
    elif is_emulated(precision):
        print(
            f"Precision {precision}: this CPU has no instructions for it. A step can "
            "take many times as long as in float32; --precision=auto takes the fastest."
        )
    keras.config.set_dtype_policy(
        "float32" if precision == "float32" else f"mixed_{precision}"
    )
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    return strategy


def make_strategy(name="auto"):
    """Returns the `tf.distribute` strategy of a training run.

    Args:
        name: `"auto"`: all visible GPUs by MirroredStrategy if there are two or more,
            else one device. `"one_device"`, `"mirrored"` (all visible GPUs, or
            logical CPU devices), `"multi_worker"` (MultiWorkerMirroredStrategy, as the
            environment variable `TF_CONFIG` describes the cluster), `"slurm"` (the
            same, with a worker for each task of the Slurm step this process is in),
            or `"tpu"` (TPUStrategy on the TPU that the environment variable `TPU_NAME`
            names, by default that of this machine).

    Returns:
        A `tf.distribute.Strategy`.
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name!r}"
        )
    if name == "slurm":
        os.environ["TF_CONFIG"] = json.dumps(slurm_cluster())
    if name in ("multi_worker", "slurm"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _make_tpu_strategy(os.environ.get("TPU_NAME", "local"))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _make_tpu_strategy(address):
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
        if address != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(
            "--strategy=tpu needs a TPU on this machine, or the name of one in the "
            f"environment variable TPU_NAME. Received: TPU_NAME={address!r} "
            f"({str(error).splitlines()[0]})"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def slurm_cluster():
    """The cluster that Slurm's environment variables describe, as `TF_CONFIG` has it.

    Which GPUs a task sees is left to Slurm (`srun --gpus-per-task=1 --gpu-bind=...`).

    Returns:
        Dictionary with the keys `"cluster"` and `"task"`.

    Raises:
        ValueError: If this process is not a task of a Slurm step.
    """
    import tensorflow as tf

    missing = [name for name in _SLURM_VARIABLES if name not in os.environ]
    if missing:
        raise ValueError(
            "--strategy=slurm is for processes that `srun` starts, one for each worker "
            "(examples/cluster/slurm.sbatch). Received: an environment without "
            f"{', '.join(missing)}"
        )
    # Jobs that share a node need ports of their own.
    port = 20_000 + 16 * (int(os.environ.get("SLURM_JOB_ID", 0)) % 2_000)
    # The numbers of GPUs are no facts: without them it would call nvidia-smi and choose
    # the GPUs itself.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port,
        gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    cluster = resolver.cluster_spec().as_dict()
    task_type, index = resolver.get_task_info()
    return {"cluster": cluster, "task": {"type": task_type, "index": index}}


def has_workers(strategy):
    """Whether several processes, each with a strategy of its own, train together."""
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy):
    """Whether this process writes the run's files (one does, in a cluster)."""
    resolver = strategy.cluster_resolver
    if not has_workers(strategy) or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def choose_precision():
    """The precision that suits this device, and why.

    Returns:
        Tuple of `"float32"`, `"bfloat16"` or `"float16"`, and the reason in words.
    """
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return "bfloat16", "TPUs multiply bfloat16 matrices"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        name = details.get("device_name", "this GPU")
        if capability >= (8, 0):
            return "bfloat16", f"{name} computes bfloat16 in its tensor cores"
        if capability >= (7, 0):
            return "float16", f"{name} computes float16, but not bfloat16, fast"
        return "float32", f"{name} has no tensor cores"
    if "amx_bf16" in _cpu_flags():
        return "bfloat16", "this CPU multiplies bfloat16 matrices in hardware (AMX)"
    return "float32", "this CPU has no unit for bfloat16 matrices (AMX)"


def is_emulated(precision):
    """Whether a CPU computes and has no instructions for `"bfloat16"` or `"float16"`.

    `False` for `"float32"`, and where the CPU does not say what it has.
    """
    import tensorflow as tf

    needed, found = _CPU_UNITS.get(precision), set(_cpu_flags())
    if not needed or not found or tf.config.list_physical_devices("GPU"):
        return False
    return not tf.config.list_logical_devices("TPU") and not needed & found


def _cpu_flags():
    """The instruction sets of an x86_64 CPU on Linux; elsewhere none are known."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return []
