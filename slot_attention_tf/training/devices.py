"""Where and in which precision a run computes."""

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
PRECISIONS = ("float32", "bfloat16", "float16", "auto")


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

    keras.utils.set_random_seed(options.seed)
    precision = options.precision
    if precision == "auto":
        precision, reason = choose_precision()
        print(f"Precision {precision}: {reason}.")
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
            logical CPU devices), or `"multi_worker"` (MultiWorkerMirroredStrategy, as
            the environment variable `TF_CONFIG` describes the cluster).

    Returns:
        A `tf.distribute.Strategy`.
    """
    import tensorflow as tf

    if name not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name!r}"
        )
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Whether this process writes the run's files (one does, in a cluster)."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
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


def _cpu_flags():
    try:
        with open("/proc/cpuinfo") as file:
            return next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return []
