"""Settings of Sphinx; `make docs` builds the pages."""

import inspect
import os
import pathlib
import re

# For the kernels that execute the pages too: quick convolutions, no start-up messages.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import slot_attention_tf
from slot_attention_tf.paper.draw import draw_paper

HERE = pathlib.Path(__file__).parent
# What is copied beside the pages: the live page, written there by `make docs`, and the
# paper's tables and figures.
EXTRA = HERE / "_build" / "extra"
draw_paper(HERE.parent / "results", EXTRA / "paper")

project = "slot_attention_tf"
author = "The slot_attention_tf authors"
version = release = slot_attention_tf.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "demo"]
html_theme = "sphinx_book_theme"
html_title = "Slot Attention for Keras"
html_extra_path = ["_build/extra"]
html_theme_options = {"show_toc_level": 2}

myst_heading_anchors = 2
# A page whose code fails is no page.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"
nb_render_markdown_format = "gfm"

# Docstrings are Keras's: `code` in single backticks, one more section, and results in
# prose, without a type before the first colon.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Call arguments", "params_style"), "Returns"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def _without_markdown(app, what, name, obj, options, lines):
    """Turns fenced code and tables of a docstring into reStructuredText."""
    text = "\n".join(lines)
    text = re.sub(r"```python\n(.*?)```", _code_block, text, flags=re.DOTALL)
    text = re.sub(r"(?:^\|.*\|\n?)+", _list_table, text, flags=re.MULTILINE)
    lines[:] = text.split("\n")


def _signature(app, what, name, obj, options, signature, return_annotation):
    """That of the constructor; Keras hides it behind a `__new__` of its own."""
    if what == "class":
        parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
        return str(inspect.Signature(parameters)), None
    return None


def _code_block(match):
    indented = match[1].replace("\n", "\n    ").rstrip()
    return f".. code-block:: python\n\n    {indented}\n"


def _list_table(match):
    rows = [row.strip("|").split("|") for row in match[0].strip().split("\n")]
    cells = [[cell.strip() for cell in row] for row in (rows[0], *rows[2:])]
    text = "\n".join(
        f"    {'* -' if first else '  -'} {cell}"
        for row in cells
        for first, cell in zip((True, *[False] * len(row)), row, strict=False)
    )
    return f".. list-table::\n    :header-rows: 1\n\n{text}\n\n"


def setup(app):
    app.connect("autodoc-process-signature", _signature)
    # Before napoleon, which would take a fence for text.
    app.connect("autodoc-process-docstring", _without_markdown, priority=400)
