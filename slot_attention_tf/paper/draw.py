"""Every table and figure of the paper, from a folder of results to a folder of files."""

import csv
import math
import pathlib

from slot_attention_tf.paper.experiments import SIZES
from slot_attention_tf.paper.figures import all_figures
from slot_attention_tf.paper.page import make_page
from slot_attention_tf.paper.runs import read_runs
from slot_attention_tf.paper.tables import all_tables

_DPI = 160


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
    tables = all_tables(runs, size)
    drawings = list(all_figures(runs, size))
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        _write_csv(out / f"{table.name}.csv", table.records)
    for drawing in drawings:
        drawing.figure.savefig(out / f"{drawing.name}.png", dpi=_DPI)
        if drawing.records is not None:
            _write_csv(out / f"{drawing.name}.csv", drawing.records)
    page = out / "index.html"
    page.write_text(make_page(tables, drawings, size), "utf-8")
    return page


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
