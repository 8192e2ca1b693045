"""The training loop of every model, on `tf.distribute`; imports TensorFlow.

Knows no task and no model by name: a model is anything with `loss_per_example`.
"""
