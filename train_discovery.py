"""Trains a model to find objects in images without labels.

    python train_discovery.py --preset=tetrominoes_cpu --model_dir=runs/discovery

A preset holds all settings; flags replace single ones. The same command continues a
stopped run.
"""

from slot_attention_tf.commands import train

if __name__ == "__main__":
    train.discovery()
