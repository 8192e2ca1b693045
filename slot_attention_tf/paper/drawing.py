"""A figure of the paper with what a page says of it."""

import dataclasses

from matplotlib.figure import Figure

from slot_attention_tf.paper.tables import NOT_RUN
from slot_attention_tf.visualization import empty_figure


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure with what a page says of it.

    Attributes:
        name: String, the stem of its files.
        title: String.
        sentence: String, what it shows and of which rows.
        figure: A `matplotlib.figure.Figure`.
        records: List of dictionaries with the same keys, its points for a CSV file;
            None for pictures.
    """

    name: str
    title: str
    sentence: str
    figure: Figure
    records: list | None = None


def not_run(size):
    """The figure of what was not run; names the command that runs it."""
    return empty_figure(f"{NOT_RUN}: make paper SIZE={size}")
