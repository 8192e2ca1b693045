"""Examples: what a model shows of a few images, through a file and back."""

import numpy as np
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.paper.examples import (
    collect_examples,
    load_examples,
    save_examples,
    to_floats,
)
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.task import predict


def images(number=4, size=(8, 10), seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, [number, *size, 3]).astype("float32")


def autoencoder():
    encoder = sa.ConvEncoder((8, 10), filters=(8,), strides=(2,))
    return sa.SlotAttentionAutoEncoder((8, 10), 3, 2, slot_size=8, encoder=encoder)


def test_examples_of_discovery(tmp_path):
    model, batch = autoencoder(), {"image": images()}
    found = collect_examples(find_task("discovery"), model, batch, seed=5)
    path = save_examples(tmp_path / "a" / "model_0.npz", found)
    examples = load_examples(path, "discovery")
    assert {name: value.shape for name, value in examples.items()} == {
        "image": (3, 8, 10, 3),
        "reconstruction": (3, 2, 8, 10, 3),
        "masks": (3, 2, 3, 8, 10),
        "slot_images": (3, 3, 8, 10, 3),
        "attention": (3, 2, 3, 4, 5),
    }
    assert {value.dtype for value in examples.values()} == {np.dtype("uint8")}
    np.testing.assert_allclose(
        to_floats(examples["image"]), batch["image"][:3], atol=0.51 / 127.5
    )
    dataset = tf.data.Dataset.from_tensors({"image": batch["image"][:3]})
    for time in (1, 2):
        (outputs,) = predict(model, dataset, seed=5, num_iterations=time)
        shown = to_floats(examples["reconstruction"][:, time - 1])
        expected = np.clip(outputs["reconstruction"], -1, 1)
        np.testing.assert_allclose(shown, expected, atol=2.51 / 127.5)
        masks, expected = examples["masks"][:, time - 1], outputs["masks"][..., 0]
        np.testing.assert_allclose(masks / 255, expected, atol=0.1)
        np.testing.assert_array_equal(masks.argmax(1), expected.argmax(1))
    for slot in range(3):
        expected = outputs["attention"][..., slot].reshape(3, 2, 4, 5)
        shown = examples["attention"][:, :, slot] / 255
        np.testing.assert_allclose(shown, expected, atol=0.51 / 255)


def test_slots_and_iterations_may_be_others():
    found = collect_examples(
        find_task("discovery"),
        autoencoder(),
        {"image": images()},
        num_images=1,
        num_slots=5,
        num_iterations=4,
    )
    assert found["masks"].shape == (1, 4, 5, 8, 10)
    assert found["slot_images"].shape == (1, 5, 8, 10, 3)


def test_models_without_iterations_have_one():
    model = sa.MONet((32, 32), num_slots=2, attention_filters=(4, 4, 4))
    batch = {"image": images(size=(32, 32))}
    found = collect_examples(find_task("discovery"), model, batch, num_images=2)
    assert found["masks"].shape == (2, 1, 2, 32, 32) and "attention" not in found


def test_examples_of_set_prediction(tmp_path):
    encoder = sa.ConvEncoder((8, 8), filters=(4,))
    model = sa.SlotAttentionClassifier((8, 8), 3, 2, slot_size=8, encoder=encoder)
    target = np.random.default_rng(0).uniform(size=[4, 3, 19]).astype("float32")
    batch = {"image": images(size=(8, 8)), "target": target}
    found = collect_examples(find_task("set_prediction"), model, batch)
    path = save_examples(tmp_path / "model_0.npz", found)
    examples = load_examples(path, "set_prediction")
    assert examples["attention"].shape == (3, 2, 3, 8, 8)
    assert examples["predictions"].shape == (3, 3, 19)
    assert examples["predictions"].dtype == np.float16
    np.testing.assert_allclose(examples["target"], target[:3], atol=1e-3)
