"""The training loop of both models, on `tf.distribute`; imports TensorFlow."""
