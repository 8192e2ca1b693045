"""Exact matching of two sets for a batch of cost matrices."""

import functools
import itertools

import keras
import numpy as np
from keras import ops
from scipy.optimize import linear_sum_assignment

# Above this size the tables of 2^n subsets are slower than augmenting paths.
MAX_SUBSET_SIZE = 12
# Sums of some millions of these are still finite in float32.
LARGEST_COST = 1e30


def match(cost):
    """Finds the one-to-one matching of least total cost.

    All elements of the smaller set are matched. Where the values are known, SciPy
    solves the problems one by one on the host. Inside compiled functions, XLA
    included, they are solved as a batch on the device: up to 12 elements by dynamic
    programming over subsets (Held and Karp, 1962), above by shortest augmenting
    paths (Jonker and Volgenant, 1987). Either result is optimal up to the rounding
    of a sum of `max(n, m)` costs. Of several best matchings each solver may find
    another.

    Args:
        cost: float tensor `[B, n, m]`. A NaN or infinite value makes the matching
            of its example arbitrary.

    Returns:
        A tensor `[B, n, m]` in the dtype of `cost`, with 1 for each matched pair
        and 0 elsewhere. It is a constant for the gradient.

    Example:

    >>> matching = match(np.array([[[2.0, 1.0], [9.0, 2.0]]], "float32"))
    >>> np.array(matching).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    cost = ops.stop_gradient(ops.convert_to_tensor(cost))
    cost = ops.clip(ops.nan_to_num(cost), -LARGEST_COST, LARGEST_COST)
    if has_values(cost):
        return ops.convert_to_tensor(_match_on_host(ops.convert_to_numpy(cost)))
    square = _pad_to_square(cost)  # [B, size, size]
    size = square.shape[1]
    small = size is not None and size <= MAX_SUBSET_SIZE
    columns = (_match_by_subsets if small else _match_by_paths)(square)  # [B, size]
    matching = ops.one_hot(columns, ops.shape(square)[1], dtype=cost.dtype)
    return matching[:, : ops.shape(cost)[1], : ops.shape(cost)[2]]


def has_values(tensor):
    """Returns whether a tensor has values now, which it has not while traced."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return hasattr(tensor, "numpy")
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return True


def _match_on_host(cost):
    matching = np.zeros_like(cost)
    for example_cost, example_matching in zip(cost, matching, strict=True):
        example_matching[linear_sum_assignment(example_cost)] = 1
    return matching


def _pad_to_square(cost):
    """Adds rows or columns of zeros: they take what is left over at no cost."""
    rows, columns = ops.shape(cost)[1:]
    if isinstance(rows, int) and isinstance(columns, int):
        size = max(rows, columns)
        if rows == columns:
            return cost
    else:
        size = ops.maximum(rows, columns)
    return ops.pad(cost, [[0, 0], [0, size - rows], [0, size - columns]])


def _match_by_subsets(cost):
    """Matches by dynamic programming: the column of each row, `[B, n]`.

    The first `k` rows fill a subset of `k` columns at the least cost over its
    members: one takes row `k`, the `k - 1` rows before fill the rest.
    """
    cost = ops.transpose(cost, (1, 2, 0))  # [n, n, B]
    levels = _subsets(cost.shape[0])
    least = [ops.zeros_like(cost[0, :1])]  # of each subset of the level, [C, B]
    for row, (members, rests) in enumerate(levels):
        totals = ops.take(least[-1], rests, axis=0) + ops.take(
            cost[row], members, axis=0
        )  # [C, k, B]
        least.append(ops.min(totals, axis=1))

    subset = ops.zeros_like(cost[0, 0], dtype="int32")  # [B]: all columns
    columns = []
    for row in reversed(range(len(levels))):
        members, rests = (
            ops.transpose(ops.take(ops.convert_to_tensor(table), subset, axis=0))
            for table in levels[row]
        )  # [k, B]
        totals = _pick(least[row], rests) + _pick(cost[row], members)
        best = ops.expand_dims(ops.argmin(totals, axis=0), 0)  # [1, B]
        columns.append(_pick(members, best)[0])
        subset = _pick(rests, best)[0]
    return ops.stack(columns[::-1], axis=1)


@functools.lru_cache(maxsize=MAX_SUBSET_SIZE)
def _subsets(size):
    """Lists the subsets of `k` columns for each `k` from 1 to `size`.

    Returns:
        For each `k` a tuple of int32 arrays `[C, k]`: the members of each subset,
        and which of the subsets of `k - 1` columns is left without that member.
    """
    levels = []
    index = {(): 0}
    for k in range(1, size + 1):
        subsets = list(itertools.combinations(range(size), k))
        rests = [[index[s[:i] + s[i + 1 :]] for i in range(k)] for s in subsets]
        levels.append((np.array(subsets, "int32"), np.array(rests, "int32")))
        index = {subset: i for i, subset in enumerate(subsets)}
    return levels


def _pick(values, index):
    return ops.take_along_axis(values, index, axis=0)


def _match_by_paths(cost):
    """Matches one row after the other, each by a shortest augmenting path.

    Returns:
        The column of each row, int32 `[B, n]`.
    """
    size = ops.shape(cost)[1]
    free = ops.cast(ops.zeros_like(cost[:, 0]), "int32") - 1  # [B, n]
    row_of, _ = ops.fori_loop(
        0,
        size,
        lambda row, state: _add_row(cost, row, *state),
        (free, ops.zeros_like(cost[:, 0])),
    )
    return ops.argsort(row_of, axis=1)


def _add_row(cost, row, row_of, price):
    """Gives `row` a column, and other columns to the rows in its way.

    Args:
        cost: float tensor `[B, n, n]`.
        row: the new row, an integer.
        row_of: int32 tensor `[B, n]`, the row of each column, -1 for a free one.
        price: float tensor `[B, n]`, the dual variables of the columns.

    Returns:
        The tuple of `row_of` and `price` with the new row.
    """
    sink, distance, before, visited = _shortest_path(cost, row, row_of, price)
    length = _at(distance, sink)[:, None]  # [B, 1]
    price = ops.where(visited, price + distance - length, price)

    def shift(column, row_of):
        previous = ops.where(column < 0, -1, _at(before, column))  # [B]
        moved = ops.where(previous < 0, row, _at(row_of, previous))
        row_of = ops.where(_is_at(row_of, column), moved[:, None], row_of)
        return previous, row_of

    _, row_of = ops.while_loop(
        lambda column, row_of: ops.any(column >= 0), shift, (sink, row_of)
    )
    return row_of, price


def _shortest_path(cost, row, row_of, price):
    """Finds the free column nearest to `row` (Dijkstra's algorithm).

    Returns:
        The free column `[B]`, the distance of each column `[B, n]`, the column
        before it on its path (-1 for the row itself), and which were visited.
    """

    def visit(column, offset, distance, before, visited):
        """Tries the ways on from the last column's row, then takes the nearest."""
        searching = (column < 0) | (_at(row_of, column) >= 0)  # [B]
        last_row = ops.where(column < 0, row, _at(row_of, column))  # [B]
        edges = _at(cost, last_row) - price  # [B, n]
        # The edge by which a row was reached has no reduced cost.
        offset = ops.where(column < 0, 0, offset - _at(edges, column))
        reached = edges + offset[:, None]
        better = (reached < distance) & ~visited & searching[:, None]
        distance = ops.where(better, reached, distance)
        before = ops.where(better, column[:, None], before)
        nearest = ops.argmin(ops.where(visited, np.inf, distance), axis=1)
        column = ops.where(searching, ops.cast(nearest, "int32"), column)
        visited = visited | _is_at(row_of, column)
        return column, _at(distance, column), distance, before, visited

    nothing = ops.zeros_like(price)
    column, _, distance, before, visited = ops.while_loop(
        lambda column, *_: ops.any((column < 0) | (_at(row_of, column) >= 0)),
        visit,
        (
            ops.cast(nothing[:, 0], "int32") - 1,
            nothing[:, 0],
            nothing + np.inf,
            ops.zeros_like(row_of) - 1,
            nothing > 0,
        ),
    )
    return column, distance, before, visited


def _at(values, index):
    """Takes `values[b, index[b]]` for each example, of the first one below 0."""
    index = ops.reshape(ops.maximum(index, 0), (-1,) + (1,) * (len(values.shape) - 1))
    return ops.take_along_axis(values, index, axis=1)[:, 0]


def _is_at(like, index):
    """Whether each entry of `like`, `[B, n]`, is the one at `index`, `[B]`."""
    return ops.arange(ops.shape(like)[1], dtype="int32") == index[:, None]
