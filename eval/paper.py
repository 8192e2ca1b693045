"""Draws every table and figure of the paper from the rows of finished runs.

    python eval/paper.py --results=results --out=DIR

Needs no TensorFlow and no data: what the runs reached and a few examples of each lie in
`results/`, written by commands. Writes into DIR the tables as CSV, the figures as PNG
(and the points of lines as CSV), and `index.html` with all of them, the paper's values
beside ours. What was not run is empty and says so. `--size=paper` takes the runs with
the paper's presets instead of those for a laptop.
"""

from slot_attention_tf.commands import paper

if __name__ == "__main__":
    paper.main()
