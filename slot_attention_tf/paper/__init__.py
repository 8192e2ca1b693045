"""The paper's tables and figures, drawn from `results/` alone.

`draw.draw_paper` does what `eval/paper.py` does. Only `examples.collect_examples` needs
TensorFlow: it asks a trained model for what the pictures show.
"""
