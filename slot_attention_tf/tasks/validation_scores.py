"""Scores on validation data in the course of Keras's own `fit`."""

import keras
import tensorflow as tf

from slot_attention_tf.training.callbacks import validation_logs


class ValidationScores(keras.callbacks.Callback):
    """Scores a model of this package on validation data after each epoch of `fit`.

    Adds the scores of the model's task to the logs of the epoch: `val_fg_ari`,
    `val_ari`, `val_mbo`, `val_miou`, `val_mse` and others for models that find objects;
    `val_ap_inf`, `val_ap_1`, `val_ap_0_5`, `val_ap_0_25` and `val_ap_0_125` for models
    that predict sets. Callbacks after it in the list see them, as does the history:
    put it before `ModelCheckpoint`, which needs `mode="max"` for most of them. To score
    averaged weights, put `SwapEMAWeights(swap_on_epoch=True)` before it.

    Scores are those of the training scripts: every image has the same random start in
    every epoch, and the random numbers of training stay as they are. Needs Keras on
    TensorFlow.

    Args:
        validation_data: `tf.data.Dataset` of batches as the data pipelines make them,
            or a dictionary of arrays: `"image"`, float `[N, H, W, C]` in `[-1, 1]`, and
            `"segmentation"`, integers `[N, H, W]` with 0 for the background, or
            `"target"`, float `[N, M, 19]`.
        batch_size: Integer, images at a time if `validation_data` are arrays.
        seed: Integer, the seed of the random starts.

    Example:

    >>> model = SlotAttentionAutoEncoder((8, 8), num_slots=3, num_iterations=1)
    >>> model.compile("adam")
    >>> labels = np.arange(2 * 64).reshape(2, 8, 8) % 3
    >>> held_out = {"image": np.zeros((2, 8, 8, 3), "float32"), "segmentation": labels}
    >>> scores = ValidationScores(held_out)
    >>> images = np.zeros((4, 8, 8, 3), "float32")
    >>> history = model.fit(images, callbacks=[scores], verbose=0)
    >>> "val_fg_ari" in history.history
    True
    """

    def __init__(self, validation_data, batch_size=32, seed=0):
        super().__init__()
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                "ValidationScores needs Keras on TensorFlow: start the process with "
                "KERAS_BACKEND=tensorflow, or call `predict` and the metrics of this "
                "package. Received: "
                f"KERAS_BACKEND={keras.backend.backend()}"
            )
        if isinstance(validation_data, dict):
            scenes = tf.data.Dataset.from_tensor_slices(validation_data)
            validation_data = scenes.batch(batch_size)
        elif not isinstance(validation_data, tf.data.Dataset):
            raise ValueError(
                "`validation_data` must be a tf.data.Dataset of dictionaries or a "
                "dictionary of arrays, with images and labels. "
                f"Received: validation_data of type {type(validation_data).__name__}"
            )
        self.validation_data = validation_data
        self.seed = seed

    def on_epoch_end(self, epoch, logs=None):
        from slot_attention_tf.tasks import task_of

        task = task_of(self.model)
        scores = task.evaluate(self.model, self.validation_data, self.seed)
        if logs is not None:
            logs.update(validation_logs(scores))
