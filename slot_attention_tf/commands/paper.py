"""The paper's tables and figures from results: `eval/paper.py`."""

from absl import flags, logging

from slot_attention_tf.commands import define, run_command

FLAGS = flags.FLAGS


def main():
    """Runs `eval/paper.py`, which needs no TensorFlow."""
    logging.set_verbosity(logging.WARNING)
    from slot_attention_tf.paper.experiments import SIZES

    define("results", "results", "Folder of the rows of all runs.")
    define("out", None, "Folder of the tables, the figures and the page.")
    define("size", "cpu", "Runs of a laptop's or the paper's presets.", choices=SIZES)
    run_command(_draw)


def _draw():
    from slot_attention_tf.paper.draw import draw_paper

    if FLAGS.out is None:
        raise ValueError("Say where to write: --out=DIR. Received: --out=None")
    print(draw_paper(FLAGS.results, FLAGS.out, FLAGS.size))
