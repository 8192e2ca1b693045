"""Trains a model to predict the properties of the objects of an image.

    python train_set_prediction.py --preset=clevr_cpu --model_dir=runs/set_prediction

A preset holds all settings; flags replace single ones. The same command continues a
stopped run.
"""

from slot_attention_tf.commands import train

if __name__ == "__main__":
    train.set_prediction()
