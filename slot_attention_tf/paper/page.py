"""One page with every table and figure: plain HTML and CSS, no scripts."""

from html import escape

from slot_attention_tf.failures import MAX_ERROR_RATIO

_STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --page: #ffffff; --line: #d5d9de;
  --faint: #667080; --failed: #b3261e; --paper: #1a5fb4; --head: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e3e6ea; --page: #16181b; --line: #3a3f46; --faint: #98a2b0;
    --failed: #ff8a80; --paper: #8ab8ff; --head: #202429; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--page); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 60rem; }
a { color: var(--paper); } nav ul { columns: 3 18rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border: 1px solid var(--line); padding: .4rem .7rem; text-align: left;
  vertical-align: top; }
th { background: var(--head); }
td div { white-space: nowrap; }
.note { color: var(--faint); font-size: .85em; }
.failed { color: var(--failed); font-weight: 600; font-size: .85em; }
.paper { color: var(--paper); } td .paper { font-size: .85em; }
img { display: block; max-width: 100%; background: #ffffff;
  border: 1px solid var(--line); border-radius: 4px; }
footer { color: var(--faint); margin: 3rem 0; }
"""


def make_page(tables, drawings, size):
    """Returns the page as a string.

    Args:
        tables: List of `Table`.
        drawings: List of `Drawing`, whose PNG files lie beside the page.
        size: String, whose presets the runs have.
    """
    entries = "\n".join(
        f'<li><a href="#{each.name}">{escape(each.title)}</a></li>'
        for each in (*tables, *drawings)
    )
    presets = {"cpu": "laptop size", "paper": "the paper's size"}[size]
    sections = [*map(_table_section, tables), *map(_figure_section, drawings)]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Slot Attention: the paper's tables and figures</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Slot Attention: the paper's tables and figures</h1>
<p>Drawn from finished runs with presets of {presets} (<code>{escape(size)}</code>).
<span class="paper">Blue</span> are the values of Locatello et al.,
<a href="https://arxiv.org/abs/2006.15055">Object-Centric Learning with Slot
Attention</a> (2020). A run counts as failed if its masks follow the place in the image
(stripes, or the masks of different images agree), or if its
reconstruction error is more than {MAX_ERROR_RATIO:g} times the median of the other
seeds, two at least.
Failed runs are counted in every mean.</p>
<nav><ul>
{entries}
</ul></nav>
{"".join(sections)}
<footer>Written by <code>python eval/paper.py</code>.</footer>
</body>
</html>
"""


def _table_section(table):
    header = "".join(f"<th>{escape(each)}</th>" for each in table.header)
    lines = "\n".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in table.lines)
    return f"""
<section id="{table.name}">
<h2>{escape(table.title)}</h2>
<p>{escape(table.sentence)} <a href="{table.name}.csv">CSV</a></p>
<div class="scroll"><table>
<tr>{header}</tr>
{lines}
</table></div>
</section>
"""


def _cell(lines):
    texts = (f'<div class="{kind}">{escape(text)}</div>' for kind, text in lines)
    return f"<td>{''.join(texts)}</td>"


def _figure_section(drawing):
    link = "" if drawing.records is None else f' <a href="{drawing.name}.csv">CSV</a>'
    width = 100 * drawing.figure.get_size_inches()[0]
    return f"""
<section id="{drawing.name}">
<h2>{escape(drawing.title)}</h2>
<p>{escape(drawing.sentence)}{link}</p>
<img src="{drawing.name}.png" alt="{escape(drawing.title)}"
 style="width: {width:.0f}px">
</section>
"""
