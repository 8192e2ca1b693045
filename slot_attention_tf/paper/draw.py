"""Every table and figure of the paper, from a folder of results to files."""

import csv
import math
import pathlib

from slot_attention_tf.paper import lines, pictures
from slot_attention_tf.paper.experiments import (
    DISCOVERY_IN_PICTURES,
    SIZES,
    find_experiment,
)
from slot_attention_tf.paper.further_tables import cost_table, other_data_table
from slot_attention_tf.paper.page import make_page
from slot_attention_tf.paper.runs import read_runs
from slot_attention_tf.paper.tables import (
    attention_table,
    discovery_table,
    set_prediction_table,
)

_LOOK = {"dpi": 160, "bbox_inches": "tight", "pad_inches": 0.05}


def draw_paper(results, out, size="cpu"):
    """Writes tables (CSV), figures (PNG, the points of lines also CSV) and a page.

    Args:
        results: Path of the folder of results.
        out: Path of the folder to write into; files of the same names are replaced.
        size: String, whose presets: `"cpu"` or `"paper"`.

    Returns:
        Path of the page, `index.html`.

    Raises:
        FileNotFoundError: If there are no results.
        ValueError: If `size` is unknown, `out` is a file, or a row or file of examples
            cannot be read.
    """
    if size not in SIZES:
        raise ValueError(f"Sizes are {', '.join(SIZES)}. Received: size={size!r}")
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder, not a file. Received: out={out}")
    runs = read_runs(results)
    tables = list(_all_tables(runs, size))
    drawings = list(_all_figures(runs, size))
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        _write_csv(out / f"{table.name}.csv", table.records)
    for drawing in drawings:
        drawing.figure.savefig(out / f"{drawing.name}.png", **_LOOK)
        if drawing.records is not None:
            _write_csv(out / f"{drawing.name}.csv", drawing.records)
    page = out / "index.html"
    page.write_text(make_page(tables, drawings, size), "utf-8")
    return page


def _all_tables(runs, size):
    """Every `Table`, that of the paper first."""
    for score in ("fg_ari", "ari", "mbo", "mse"):
        yield discovery_table(runs, size, score)
    yield set_prediction_table(runs, size)
    yield attention_table(runs, size)
    yield cost_table(runs, size)
    yield other_data_table(runs, size)


def _all_figures(runs, size):
    """Every `Drawing`, in the order of the paper."""
    pictured = [find_experiment(name) for name in DISCOVERY_IN_PICTURES]
    yield from lines.figure_2(runs, size)
    for experiment in pictured:
        yield from pictures.figure_3(runs, size, experiment, "slot_attention")
    for experiment in pictured:
        for model in experiment.models[1:]:
            yield from pictures.slots_of_others(runs, size, experiment, model)
    yield pictures.figure_4(runs, size)
    yield lines.figure_5a(runs, size)
    yield lines.figure_5b(runs, size)
    yield lines.figure_5c(runs, size)
    yield pictures.figure_6(runs, size)


def _write_csv(path, records):
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: "" if _is_nan(value) else value for key, value in record.items()}
            for record in records
        )


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)
