"""Tiny runs of both tasks, as flags of the scripts."""

DISCOVERY = {
    "preset": "tetrominoes_cpu",
    "dataset": "tetrominoes/tiny",
    "encoder_filters": "8,8",
    "encoder_kernel_size": 5,
    "encoder_strides": 2,
    "num_iterations": 2,
    "slot_size": 16,
    "mlp_hidden_size": 16,
    "feature_size": 16,
    "decoder_filters": "16,16",
    "batch_size": 16,
    "num_train_steps": 4,
    "warmup_steps": 1,
    "log_interval": 2,
    "checkpoint_interval": 2,
    "eval_interval": 2,
}
SET_PREDICTION = {
    "preset": "clevr_cpu",
    "dataset": "synthetic_clevr/tiny",
    "resolution": "16,16",
    "encoder_filters": 8,
    "encoder_kernel_size": 5,
    "encoder_strides": 2,
    "num_iterations": 1,
    "slot_size": 16,
    "mlp_hidden_size": 16,
    "feature_size": 16,
    "batch_size": 4,
    "num_train_steps": 4,
    "warmup_steps": 1,
    "log_interval": 2,
    "checkpoint_interval": 2,
    "eval_interval": 2,
}


def as_arguments(flags, data_dir):
    """Flags of a run as arguments of `slot_attention_tf.train`."""
    arguments = {
        name: tuple(int(each) for each in str(value).split(","))
        if name.startswith(("encoder_", "decoder_", "resolution"))
        else value
        for name, value in flags.items()
    }
    return {**arguments, "data_dir": str(data_dir)}


def prepare_discovery(data_dir, num_train=60, num_test=320):
    """Draws `tetrominoes/tiny`; one training scene in 50 is held out."""
    from slot_attention_tf.data.prepare import prepare

    prepare("tetrominoes/tiny", data_dir, num_train=num_train, num_test=num_test)


def prepare_set_prediction(data_dir):
    """Draws `synthetic_clevr/tiny`; the first 512 training scenes are held out."""
    from slot_attention_tf.data.prepare import prepare

    sizes = {"num_train": 540, "num_validation": 20, "num_test": 1}
    shape = {"height": 16, "width": 16, "min_objects": 2, "max_objects": 4}
    prepare("synthetic_clevr/tiny", data_dir, **sizes, **shape)
