"""The course of a training."""

from numbers import Real

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_COLUMNS = 3


def training_curves_figure(rows, names=None, x="step"):
    """One panel for each quantity that was logged.

    Args:
        rows: dicts as in the lines of `metrics.jsonl`; each holds `x` and some of
            the quantities. What is not a number is passed over, and NaN leaves a
            gap.
        names: quantities to show; by default all, in order of appearance.
        x: name of the horizontal axis.

    Returns:
        A `matplotlib.figure.Figure`. Losses have a logarithmic axis.

    Raises:
        ValueError: if no row holds `x` and one of the names.
    """
    series = _collect(rows, x)
    if names is None:
        names = list(series)
    missing = [name for name in names if name not in series]
    if missing or not names:
        raise ValueError(
            f"No row has a number for both {x!r} and {missing or 'anything else'}. "
            f"Received: {len(rows)} rows with {sorted(series)}"
        )
    num_rows = -(-len(names) // _COLUMNS)
    num_columns = min(len(names), _COLUMNS)
    size = (4 * num_columns, 2.6 * num_rows)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw(panel, name, *zip(*series[name], strict=True))
        panel.set_xlabel(x, fontsize=8)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    return figure


def _collect(rows, x):
    """Points `(x, value)` of every quantity, by name."""
    series = {}
    for row in rows:
        if not _is_number(row.get(x)):
            continue
        for name, value in row.items():
            if name != x and _is_number(value):
                series.setdefault(name, []).append((row[x], value))
    return series


def _draw(panel, name, steps, values):
    values = np.array(values, "float64")
    # A few evaluations are points of their own, a long log is a line.
    panel.plot(steps, values, marker="o" if len(values) <= 20 else None, markersize=3)
    finite = values[np.isfinite(values)]
    if "loss" in name and finite.size and finite.min() > 0:
        panel.set_yscale("log")
    panel.set_title(name.replace("_", " "), fontsize=9)
    panel.tick_params(which="both", labelsize=7)
    panel.grid(alpha=0.3)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)
