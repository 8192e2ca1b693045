"""Code written for the reference release runs by changing the import."""

import inspect

import numpy as np
import pytest

import slot_attention_tf as sa

# Arguments of the release, in its order; ours may follow.
SIGNATURES = {
    "SlotAttention": "num_iterations num_slots slot_size mlp_hidden_size epsilon",
    "SlotAttentionAutoEncoder": "resolution num_slots num_iterations",
    "SlotAttentionClassifier": "resolution num_slots num_iterations",
    "SoftPositionEmbed": "hidden_size resolution",
    "build_grid": "resolution",
    "spatial_broadcast": "slots resolution",
    "spatial_flatten": "x",
    "unstack_and_split": "x batch_size num_channels",
    "build_model": "resolution batch_size num_slots num_iterations num_channels "
    "model_type",
    "l2_loss": "prediction target",
    "hungarian_huber_loss": "x y",
    "average_precision_clevr": "pred attributes distance_threshold",
    "preprocess_clevr": "features resolution apply_crop get_properties max_n_objects",
    "build_clevr": "split resolution shuffle max_n_objects num_eval_examples "
    "get_properties apply_crop",
    "build_clevr_iterator": "batch_size split kwargs",
}
DEFAULTS = {
    "SlotAttention": {"epsilon": 1e-8},
    "unstack_and_split": {"num_channels": 3},
    "build_model": {"num_channels": 3, "model_type": "object_discovery"},
    "preprocess_clevr": {
        "apply_crop": False,
        "get_properties": True,
        "max_n_objects": 10,
    },
    "build_clevr": {
        "resolution": (128, 128),
        "shuffle": False,
        "max_n_objects": 10,
        "num_eval_examples": 512,
        "get_properties": True,
        "apply_crop": False,
    },
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_and_arguments_are_those_of_the_release(name):
    assert name in sa.__all__
    parameters = inspect.signature(getattr(sa, name)).parameters
    expected = SIGNATURES[name].split()
    assert list(parameters)[: len(expected)] == expected
    for argument, default in DEFAULTS.get(name, {}).items():
        assert parameters[argument].default == default


def test_build_model_builds_both_models_for_any_batch(rng):
    model = sa.build_model((16, 12), 64, 4, 2)
    assert isinstance(model, sa.SlotAttentionAutoEncoder)
    images = rng.uniform(-1, 1, size=(3, 16, 12, 3)).astype("float32")
    assert model(images, training=True)[2].shape == (3, 4, 16, 12, 1)
    model = sa.build_model(
        (16, 12), 64, 4, 2, num_channels=1, model_type="set_prediction"
    )
    assert isinstance(model, sa.SlotAttentionClassifier)
    assert model(images[..., :1]).shape == (3, 4, 19)


def test_build_model_names_what_is_wrong():
    with pytest.raises(ValueError, match="object_discovery.*model_type='video'"):
        sa.build_model((16, 12), 64, 4, 2, model_type="video")
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        sa.build_model((16, 12), 0, 4, 2)


def test_unstack_and_split_undoes_stacking(rng):
    images = rng.normal(size=(2, 3, 5, 4, 3)).astype("float32")
    masks = rng.normal(size=(2, 3, 5, 4, 1)).astype("float32")
    x = np.concatenate([images, masks], axis=-1).reshape(6, 5, 4, 4)
    for part, expected in zip(
        sa.unstack_and_split(x, batch_size=2), (images, masks), strict=True
    ):
        np.testing.assert_array_equal(part, expected)
    assert sa.unstack_and_split(x[..., :2], 3, num_channels=1)[0].shape[:2] == (3, 2)
    with pytest.raises(ValueError, match=r"2 channels.*x.shape=\(6, 5, 4, 4\)"):
        sa.unstack_and_split(x, 2, num_channels=1)
