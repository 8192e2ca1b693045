"""The matching against SciPy's: equal total costs, eager and compiled."""

import keras
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from slot_attention_tf.losses.assignment import match

PROBLEMS = 1000


def random_costs(family, n, m):
    rng = np.random.default_rng(n * 100 + m)
    shape = [PROBLEMS, n, m]
    costs = {
        "random": lambda: rng.normal(size=shape),
        "ties": lambda: rng.integers(-1, 2, size=shape),
        "all equal": lambda: np.ones(shape),
        "tiny": lambda: 1e-6 * rng.random(shape),
        "large": lambda: 1e5 * rng.random(shape),
        # Every matching of these costs the same but for rounding.
        "equal totals": lambda: (
            rng.random([PROBLEMS, n, 1]) + rng.random([PROBLEMS, 1, m])
        ),
    }
    return costs[family]().astype("float32")


# Both solvers, up to 12 elements and above, on squares and on what they pad to one.
SQUARE = [(n, n) for n in (4, 10, 14)]
RECTANGULAR = [(3, 7), (7, 4), (5, 14), (14, 13)]
CASES = [
    (family, n, m)
    for family in ("random", "ties", "all equal", "tiny", "large", "equal totals")
    for n, m in SQUARE
] + [("random", n, m) for n, m in RECTANGULAR]


def check_optimal(matching, cost):
    """Every element of the smaller set is matched once, at SciPy's total cost."""
    matching = np.asarray(matching)
    assert matching.dtype == cost.dtype and matching.shape == cost.shape
    assert set(np.unique(matching)) <= {0, 1}
    for axis in (1, 2):
        per_element = matching.sum(axis)
        assert per_element.max() <= 1
        assert cost.shape[3 - axis] > cost.shape[axis] or per_element.min() == 1
    cost = cost.astype("float64")
    least = [example[linear_sum_assignment(example)].sum() for example in cost]
    # Sums of float32 are right to about one unit in the last place per addend.
    rounding = 2**-23 * max(cost.shape[1:]) * np.abs(cost).max()
    np.testing.assert_allclose((cost * matching).sum((1, 2)), least, atol=rounding)


@pytest.fixture(scope="module")
def compiled():
    """Functions compiled once for all families of a size."""
    tf = pytest.importorskip("tensorflow")
    return {
        "tf.function": tf.function(match),
        "XLA": tf.function(match, jit_compile=True),
        "unknown sizes": tf.function(
            match, input_signature=[tf.TensorSpec([None, None, None])]
        ),
    }


@pytest.mark.parametrize("how", ["tf.function", "XLA", "unknown sizes"])
@pytest.mark.parametrize(("family", "n", "m"), CASES)
def test_total_cost_is_least(compiled, how, family, n, m):
    cost = random_costs(family, n, m)
    check_optimal(compiled[how](cost), cost)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (3, 6), (14, 2)])
def test_eager(n, m):
    cost = random_costs("random", n, m)
    check_optimal(keras.ops.convert_to_numpy(match(cost)), cost)


@pytest.mark.parametrize("size", [5, 14])
def test_is_a_constant_for_the_gradient(size):
    tf = pytest.importorskip("tensorflow")
    cost = tf.constant(random_costs("random", size, size))

    @tf.function
    def gradient(cost):
        with tf.GradientTape() as tape:
            tape.watch(cost)
            total = tf.reduce_sum(match(cost) * cost)
        return tape.gradient(total, cost), match(cost)

    np.testing.assert_array_equal(*gradient(cost))


@pytest.mark.parametrize("size", [6, 14])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_ends_with_any_values(compiled, value, size):
    cost = random_costs("random", size, size)[:4]
    cost[1] = value
    cost[3, 2, 1] = value
    matching = compiled["tf.function"](cost).numpy()
    np.testing.assert_array_equal(matching.sum(1), 1)
    np.testing.assert_array_equal(matching.sum(2), 1)
    check_optimal(matching[::2], cost[::2])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(run_python, backend):
    pytest.importorskip(backend)
    run_python(
        f"""
import keras
from slot_attention_tf.losses.assignment import match
from tests.losses.test_assignment import check_optimal, random_costs
if "{backend}" == "jax":
    import jax
    compiled = jax.jit(match)
for family in ("random", "ties", "large"):
    for n, m in ((6, 6), (14, 13)):
        cost = random_costs(family, n, m)
        check_optimal(keras.ops.convert_to_numpy(match(cost)), cost)
        if "{backend}" == "jax":
            check_optimal(compiled(cost), cost)
""",
        KERAS_BACKEND=backend,
    )
