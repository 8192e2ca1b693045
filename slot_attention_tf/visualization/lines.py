"""Scores as lines, with their spread over seeds."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slot_attention_tf.visualization.colors import slot_palette

_SIZE = (5.0, 3.6)
_DPI = 150
_MARKERS = "osD^vP*X"


def lines_figure(series, x_label, y_label, tick_labels=None, reported=None, title=None):
    """One line for each series: the mean over runs, in a band of one deviation.

    Args:
        series: dictionary from a label to `(x, values)`: numbers `[X]`, and scores of
            `R` runs `[R, X]` between 0 and 1, NaN where a run has none.
        x_label: what the horizontal axis shows.
        y_label: what the vertical axis shows.
        tick_labels: optional strings for `x = 0, 1, ...`; the axis then counts
            categories.
        reported: optional dictionary from labels of `series` to `(x, values)`, both
            `[X]`: what others report, drawn hollow and dashed in the same colour.
        title: optional string above the axes.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the shapes do not fit each other, or there is no series.
    """
    if not series:
        raise ValueError(
            "`series` must hold at least one line; use `empty_figure` for none. "
            f"Received: series={series}"
        )
    figure = _new_figure()
    axes = figure.subplots()
    palette = slot_palette(len(series)) / 255
    for index, (label, (x, values)) in enumerate(series.items()):
        style = {"color": palette[index], "marker": _MARKERS[index % len(_MARKERS)]}
        _draw_line(axes, label, x, values, style)
        if reported and label in reported:
            x, values = reported[label]
            style = {**style, "linestyle": "--", "markerfacecolor": "white"}
            axes.plot(x, values, linewidth=1, label=f"{label}, paper", **style)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x_label, fontsize=10)
    axes.set_ylabel(y_label, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if tick_labels is not None:
        axes.set_xticks(range(len(tick_labels)), tick_labels)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if title is not None:
        axes.set_title(title, fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="best")
    return figure


def empty_figure(text):
    """An empty frame that says why it is empty.

    Args:
        text: string, which may have several lines.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = _new_figure()
    axes = figure.subplots()
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#999999", linestyle=(0, (4, 4)))
    place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, text, fontsize=11, color="#666666", **place)
    return figure


def _draw_line(axes, label, x, values, style):
    """The mean of the runs that have a value, and the spread of several."""
    x, values = np.asarray(x, "float64"), np.asarray(values, "float64")
    if values.ndim != 2 or x.shape != values.shape[1:]:
        raise ValueError(
            f"The values of {label!r} must have the shape [runs, {len(x)}]. "
            f"Received: values.shape={values.shape}, x.shape={x.shape}"
        )
    known = np.isfinite(values).any(axis=0)  # [X]
    x, values = x[known], values[:, known]
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    axes.plot(x, mean, label=label, linewidth=1.8, markersize=5, **style)
    if len(values) > 1:
        band = (mean - spread, mean + spread)
        axes.fill_between(x, *band, color=style["color"], alpha=0.18, linewidth=0)


def _new_figure():
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
