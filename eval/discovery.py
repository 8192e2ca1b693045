"""Evaluates a run of object discovery and draws what it found.

    python eval/discovery.py --model_dir=runs/discovery_0
    python eval/discovery.py --saved_model=DIR --preset=tetrominoes_cpu

The second form takes what `export_saved_model` wrote. Prints FG-ARI and reconstruction
error on the test split. Writes pictures into `<folder>/pictures`: Figure 3 of the paper
(input, reconstruction, segmentation, every slot), the attention of each iteration, and
the training curves of a run.
"""

from slot_attention_tf.commands import evaluate

if __name__ == "__main__":
    evaluate.discovery()
