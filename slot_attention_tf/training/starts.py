"""Several starts of a run, of which the best goes on (`--num_starts`)."""

from slot_attention_tf.failures import NonFiniteLossError

# No other run of a series of seeds has the seeds of these starts.
_SEEDS_APART = 1_000


def seeds_of_starts(preset, seed, num_failures=0):
    """The seeds of the starts of a run.

    Args:
        preset: A `Preset`. A run that ends in its warm-up has one start.
        seed: Integer, the seed of the run, which is that of its first start.
        num_failures: Integer, how often the run failed and began anew.

    Raises:
        ValueError: If there is no warm-up after which starts can be compared.

    Example:

    >>> from slot_attention_tf.models import find_model
    >>> presets = find_model("discovery", "slot_attention").presets
    >>> seeds_of_starts(presets["multi_dsprites_binarized_cpu"], seed=2)
    [2, 1002, 2002]
    """
    number = preset.num_starts
    if number > 1 and preset.warmup_steps == 0:
        raise ValueError(
            "Starts are compared after the warm-up: give --warmup_steps, or "
            f"--num_starts=1. Received: num_starts={number}, warmup_steps=0"
        )
    if preset.num_train_steps <= preset.warmup_steps:
        number = 1
    first = num_failures * number
    return [seed + _SEEDS_APART * each for each in range(first, first + number)]


def choose_start(run, seeds, warm_up):
    """Makes a run go on from the best of several starts.

    What was chosen once stays. A process that was stopped on the way goes on where it
    was.

    Args:
        run: The `RunDirectory`.
        seeds: List of integers, the seed of each start; of a single one nothing is
            trained here.
        warm_up: Function of `(run, seed)` that trains a start in a folder of its own
            to the end of the warm-up. Returns a dictionary with `loss` (a float, or
            None for a start that diverged) and `seconds`, or None if a signal stopped
            it.

    Returns:
        List of these dictionaries, each with its `seed`, the best first; empty if there
        was no choice. None if a signal stopped a start.

    Raises:
        NonFiniteLossError: If every start diverged.
    """
    config = run.read_config()
    if config is not None:
        return config.get("starts", [])
    if len(seeds) == 1:
        return []
    starts = []
    for number, seed in enumerate(seeds):
        print(f"Start {number + 1} of {len(seeds)}, with seed {seed}.", flush=True)
        result = warm_up(run.start(number), seed)
        run.publish()
        if result is None:
            return None
        starts.append({"seed": seed, **result})
    ranked = sorted(starts, key=_rank)
    if ranked[0]["loss"] is None:
        raise NonFiniteLossError(
            f"All {len(seeds)} starts diverged: give a lower --learning_rate or a "
            f"longer --warmup_steps. They are kept in {run}/starts."
        )
    run.adopt(starts.index(ranked[0]))
    losses = ", ".join(f"{_in_words(each)} (seed {each['seed']})" for each in ranked)
    print(f"The best start goes on. Losses: {losses}.", flush=True)
    return ranked


def _rank(start):
    return (start["loss"] is None, start["loss"])


def _in_words(start):
    return "diverged" if start["loss"] is None else f"{start['loss']:.5f}"
