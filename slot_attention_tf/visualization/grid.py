"""The common frame of the figures: a grid of small pictures with labels."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_CELL_INCHES = 1.25
_FONT_SIZE = 8
_CAPTION_SIZE = 6
_LINE_INCHES = _CAPTION_SIZE / 72 * 1.4


def picture_grid(num_rows, num_columns, row_labels=True, caption_lines=0):
    """Makes a figure of empty cells without ticks.

    Args:
        num_rows: number of rows.
        num_columns: number of columns.
        row_labels: whether there will be labels to the left of the rows.
        caption_lines: largest number of lines below a cell.

    Returns:
        The figure, and its axes as an object array `[num_rows, num_columns]`.
    """
    row_inches = _CELL_INCHES + (caption_lines + 1) * _LINE_INCHES
    size = (
        num_columns * _CELL_INCHES + (0.4 if row_labels else 0.1),
        num_rows * (row_inches if caption_lines else _CELL_INCHES) + 0.3,
    )
    figure = Figure(figsize=size, dpi=100, layout="compressed")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    cells = figure.subplots(num_rows, num_columns, squeeze=False)
    for cell in cells.flat:
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    return figure, cells


def show(cell, picture, frame=None, **kwargs):
    """Draws a picture into a cell, framed if a colour (uint8 RGB) is given."""
    cell.imshow(picture, interpolation="nearest", **kwargs)
    if frame is not None:
        cell.spines[:].set(visible=True, color=np.asarray(frame) / 255, linewidth=2.5)


def set_title(cell, text):
    """Writes above a cell."""
    cell.set_title(text, fontsize=_FONT_SIZE, pad=3)


def set_row_label(cell, text):
    """Writes to the left of a cell."""
    cell.set_ylabel(text, fontsize=_FONT_SIZE)


def set_caption(cell, text, color="black"):
    """Writes below a cell."""
    cell.set_xlabel(text, fontsize=_CAPTION_SIZE, color=color, labelpad=2)


def figure_to_image(figure):
    """Renders a figure.

    Args:
        figure: a `matplotlib.figure.Figure`.

    Returns:
        uint8 array `[height, width, 3]`, for example for TensorBoard.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def check_shape(array, name, expected):
    """Returns the array, or raises ValueError unless its shape fits.

    Args:
        array: anything array-like.
        name: its name in the message.
        expected: tuple of sizes; a string stands for any size and is its name.
    """
    array = np.asarray(array)
    fits = array.ndim == len(expected) and all(
        isinstance(want, str) or have == want
        for have, want in zip(array.shape, expected, strict=True)
    )
    if not fits:
        shown = ", ".join(str(size) for size in expected)
        raise ValueError(
            f"`{name}` must have the shape [{shown}]. Received: {name}.shape="
            f"{array.shape}"
        )
    return array
